"""Certificates say what they were made for."""

import datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from exchange.process.certificates import (
    alternative_names,
    expires,
    fingerprint,
    new_key,
    of_server,
    self_signed,
)

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def made(days: int) -> bytes:
    """Return a certificate that its own key has signed."""
    return self_signed(
        "node-3",
        new_key(),
        now=NOW,
        days=days,
        extensions=of_server(["10.0.0.1"], [ExtendedKeyUsageOID.SERVER_AUTH]),
    )


def test_certificate_begins_before_clocks_that_differ_and_ends_in_time() -> None:
    certificate = x509.load_pem_x509_certificate(made(90))

    assert certificate.not_valid_before_utc < NOW
    assert expires(made(90)) == NOW + datetime.timedelta(days=90)
    assert expires(made(-1)) < NOW


def test_hosts_are_named_once_and_what_is_no_host_is_left_out() -> None:
    names = alternative_names(["127.0.0.1", "localhost", "ex1", "b\xfccher"], name="node-3")

    assert [str(name.value) for name in names] == [
        *("node-3", "localhost", "127.0.0.1", "::1", "ex1")
    ]


def test_what_is_no_certificate_has_no_fingerprint() -> None:
    assert len(fingerprint(made(1))) == 64
    with pytest.raises(ValueError, match="PEM"):
        fingerprint(b"nonsense")
