"""The authority certifies whom it invited, once, and under the name it chose."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509

from exchange.coordinator.authority import (
    CERTIFICATE_DAYS,
    CSR_MAX,
    TOKEN_S,
    Authority,
    BadJoin,
    new_request,
    new_token,
)
from exchange.coordinator.errors import CoordinatorError
from exchange.domain.units import NodeId
from exchange.process.certificates import expires, fingerprint
from exchange.process.tls import node_name

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(seconds=TOKEN_S)


def test_token_is_good_once(tmp_path: Path) -> None:
    """Issue 5: a replayed join token fails closed."""
    authority = Authority(tmp_path, now=NOW)
    token = new_token(tmp_path, now=NOW)
    assert authority.redeem(token, now=NOW) is None

    with pytest.raises(BadJoin, match="used before"):
        authority.redeem(token, now=NOW)


def test_token_names_the_authority_and_perhaps_a_node(tmp_path: Path) -> None:
    """Issue 5: a new node knows its coordinator by the token."""
    authority = Authority(tmp_path, now=NOW)
    token = new_token(tmp_path, now=NOW, node_id=3)

    assert token.partition(".")[0] == fingerprint(authority.certificate)
    assert authority.redeem(token, now=NOW) == 3


@pytest.mark.parametrize("token", ["", ".", "a.b", "x" * 10_000, "../../ca.key", "a./../ca"])
def test_text_that_is_no_token_opens_nothing(tmp_path: Path, token: str) -> None:
    """Faults 3: an id used as a path."""
    authority = Authority(tmp_path, now=NOW)

    with pytest.raises(BadJoin):
        authority.redeem(token, now=NOW)


def test_old_token_is_refused_and_gone(tmp_path: Path) -> None:
    """Issue 5: join tokens are short-lived."""
    authority = Authority(tmp_path, now=NOW)
    token = new_token(tmp_path, now=NOW)

    with pytest.raises(BadJoin, match="too old"):
        authority.redeem(token, now=NOW + HOUR)
    with pytest.raises(BadJoin, match="used before"):
        authority.redeem(token, now=NOW)


def test_token_needs_an_authority(tmp_path: Path) -> None:
    """What, where, remedy."""
    with pytest.raises(CoordinatorError, match="--tls"):
        new_token(tmp_path, now=NOW)


def test_certificate_bears_the_name_that_the_authority_chose(tmp_path: Path) -> None:
    """Issue 5: a node's name is bound to its id."""
    authority = Authority(tmp_path, now=NOW)
    _, request = new_request("coordinator")
    signed = authority.sign(request, node_name(NodeId(3)), ["db.example", "10.0.0.1"], now=NOW)

    certificate = x509.load_pem_x509_certificate(signed)
    assert certificate.subject.rfc4514_string() == "CN=node-3"
    assert expires(signed) == NOW + datetime.timedelta(days=CERTIFICATE_DAYS)


def test_restarted_authority_is_the_same_and_its_key_is_private(tmp_path: Path) -> None:
    """Certificates outlive the coordinator's process."""
    first = Authority(tmp_path, now=NOW)

    assert Authority(tmp_path, now=NOW + HOUR).certificate == first.certificate
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("request_", [b"", b"no PEM", b"x" * (CSR_MAX + 1)])
def test_what_is_no_request_is_not_signed(tmp_path: Path, request_: bytes) -> None:
    """Faults 3."""
    authority = Authority(tmp_path, now=NOW)

    with pytest.raises(BadJoin):
        authority.sign(request_, "node-3", [], now=NOW)
