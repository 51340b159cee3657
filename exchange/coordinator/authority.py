"""The certificate authority of a cluster: who may speak as which node (issue 5, faults 3).

    ca.key, ca.crt   in the coordinator's data directory, made at the first start with TLS
    tokens/<hash>    a join token that nobody has used yet: its hash, and until when it is good

A join token is `<fingerprint of ca.crt>.<secret>`: a new node knows by it that it speaks to the
right coordinator, and the coordinator that the node was invited.  It is good once: its file is
removed before anything is signed for it.

A certificate's name is that of a node, `node-3`, or `coordinator`.  It is good for 90 days; a
node renews it with the certificate that it has.
"""

import datetime
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from exchange.coordinator.errors import CoordinatorError
from exchange.domain.units import NodeId
from exchange.process.certificates import (
    certify,
    common_name,
    fingerprint,
    key_text,
    new_key,
    of_server,
    self_signed,
)
from exchange.process.files import write_file

CA_KEY, CA_CERTIFICATE = "ca.key", "ca.crt"
TOKENS = "tokens"
CA_DAYS = 3_650
CERTIFICATE_DAYS = 90
RENEW_DAYS = 30  # before its end
TOKEN_S = 3_600
TOKEN_MAX = 256  # characters
CSR_MAX = 8_192  # bytes


class BadJoin(Exception):  # noqa: N818 - errors are named by fault
    """A token that is no good, or a request that nothing can be signed for."""


def new_request(name: str = "new") -> tuple[bytes, bytes]:
    """Make a private key, and ask for a certificate of it; both in PEM."""
    key = key_text(new_key())
    return key, request_of(key, name)


def request_of(key: bytes, name: str = "new") -> bytes:
    """Ask for a certificate of a private key in PEM; ValueError if it is none."""
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey), "we made it"
    request = x509.CertificateSigningRequestBuilder().subject_name(common_name(name))
    return request.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_token(data_dir: Path, *, now: datetime.datetime, node_id: int = 0) -> str:
    """Make a join token, of a new node or for a known one that has lost its certificate.

    Raises CoordinatorError if this directory has no authority.
    """
    try:
        authority = (data_dir / CA_CERTIFICATE).read_bytes()
    except OSError as error:
        raise CoordinatorError(
            f"{data_dir} has no {CA_CERTIFICATE}", remedy="start the coordinator with --tls once"
        ) from error
    secret = secrets.token_urlsafe(32)
    directory = data_dir / TOKENS
    directory.mkdir(mode=0o700, exist_ok=True)
    end = int(now.timestamp()) + TOKEN_S
    write_file(directory / _digest(secret), f"{end} {node_id}".encode())
    return f"{fingerprint(authority)}.{secret}"


class Authority:
    """Signs certificates for the nodes of one cluster."""

    def __init__(self, data_dir: Path, *, now: datetime.datetime) -> None:
        self._data_dir = data_dir
        if not (data_dir / CA_CERTIFICATE).exists():
            self._make(now)
        self.certificate = (data_dir / CA_CERTIFICATE).read_bytes()
        self._issuer = x509.load_pem_x509_certificate(self.certificate)
        key = serialization.load_pem_private_key((data_dir / CA_KEY).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "we made it"
        self._key = key

    def redeem(self, token: str, *, now: datetime.datetime) -> NodeId | None:
        """Use a token up; return the node it is for, None for any new one.

        Raises BadJoin if it is none of ours, used, or too old.
        """
        _, _, secret = token[:TOKEN_MAX].partition(".")
        path = self._data_dir / TOKENS / _digest(secret)
        try:
            end, node_id = map(int, path.read_bytes().split())
            path.unlink()
        except (OSError, ValueError) as error:
            raise BadJoin("the join token is unknown or was used before") from error
        if now.timestamp() >= end:
            raise BadJoin("the join token is too old")
        return NodeId(node_id) if node_id else None

    def sign(
        self,
        request: bytes,
        name: str,
        hosts: Sequence[str],
        *,
        now: datetime.datetime,
        days: int = CERTIFICATE_DAYS,
    ) -> bytes:
        """Certify the key of a request under this name, whatever name it asks for; BadJoin."""
        if len(request) > CSR_MAX:
            raise BadJoin("the certificate request is too long")
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError as error:
            raise BadJoin("this is no certificate request") from error
        if not asked.is_signature_valid:
            raise BadJoin("the certificate request is not signed by its key")
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return certify(
            common_name(name),
            asked.public_key(),
            issuer=self._issuer.subject,
            signer=self._key,
            now=now,
            days=days,
            extensions=[*of_server(hosts, purposes, name=name), (issued_by, False)],
        )

    def _make(self, now: datetime.datetime) -> None:
        key = new_key()
        made = self_signed(
            "stock exchange cluster",
            key,
            now=now,
            days=CA_DAYS,
            extensions=[
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (_CA_USAGE, True),
                (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            ],
        )
        write_file(self._data_dir / CA_KEY, key_text(key))
        write_file(self._data_dir / CA_CERTIFICATE, made)


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _digest(secret: str) -> str:
    return blake2b(secret.encode(), digest_size=16).hexdigest()
