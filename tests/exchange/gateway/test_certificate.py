"""HTTPS works with no configuration, and only as TLS 1.3."""

import datetime
import socket
import ssl
import stat
from pathlib import Path

import pytest

from exchange.gateway.certificate import (
    CERTIFICATE,
    KEY,
    ReloadedCertificate,
    development_pair,
    fingerprint,
    server_context,
)
from exchange.gateway.errors import BadCertificate
from exchange.process.logs import Event
from tests.exchange.gateway.house import House, trusting

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_pair_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    """Interfaces section 3: a development certificate at the first start, 0600."""
    assert development_pair(tmp_path, hosts=["127.0.0.1", "example.org"], now=NOW)
    first = fingerprint(tmp_path / CERTIFICATE)
    assert not development_pair(tmp_path, hosts=[], now=NOW)

    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    assert fingerprint(tmp_path / CERTIFICATE) == first
    assert len(first.split(":")) == 32


def test_pair_that_has_expired_is_made_again(tmp_path: Path) -> None:
    """Interfaces section 3: a node that is left alone for years still starts."""
    development_pair(tmp_path, hosts=[], now=NOW)
    later = NOW + datetime.timedelta(days=400)

    assert development_pair(tmp_path, hosts=[], now=later)


def test_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Interfaces section 4: exit code 2, and what to do."""
    (tmp_path / CERTIFICATE).write_text("nonsense")
    with pytest.raises(BadCertificate, match=r"https\.crt"):
        server_context(tmp_path / CERTIFICATE, tmp_path / KEY)
    with pytest.raises(BadCertificate):
        fingerprint(tmp_path / CERTIFICATE)


def test_certificate_is_good_for_the_address_it_serves(house: House) -> None:
    """Faults 3: names are checked; the client here trusts this one certificate alone."""
    assert house.call("GET", "/healthz").status_code == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_older_tls_fails_closed(house: House, version: ssl.TLSVersion) -> None:
    """Faults 3: TLS 1.2."""
    context = trusting(house.server.directory / CERTIFICATE)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    host, port = house.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname=host)


def test_plaintext_to_the_tls_port_is_not_answered(house: House) -> None:
    """Faults 3: plaintext to TLS; the client must read to see it."""
    host, port = house.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = plain.recv(4096)

    assert b"HTTP" not in answer


def test_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """Faults 3: a refusal in one line, with what to do."""
    (tmp_path / "file").touch()

    with pytest.raises(BadCertificate, match="give a --data-dir that can be written to"):
        development_pair(tmp_path / "file", hosts=[], now=NOW)


def test_files_that_change_are_taken_and_said(tmp_path: Path) -> None:
    """Faults 3: a certificate is renewed every few weeks; a pair that is none changes nothing."""
    now = datetime.datetime.now(datetime.UTC)
    told: list[Event] = []
    development_pair(tmp_path, hosts=[], now=now)
    pair = ReloadedCertificate(tmp_path / CERTIFICATE, tmp_path / KEY, tell=told.append)
    first = pair()
    pair.look()
    assert (pair(), told) == (first, [])
    (tmp_path / CERTIFICATE).write_text("half of a")
    pair.look()
    assert pair() is first
    for name in (CERTIFICATE, KEY):
        (tmp_path / name).unlink()
    development_pair(tmp_path, hosts=[], now=now)
    pair.look()

    assert pair() is not first
    assert [event.name for event in told] == ["certificate_unusable", "certificate_used"]
    assert told[1].fields["sha256"] == fingerprint(tmp_path / CERTIFICATE)
