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
import ipaddress
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange.coordinator.errors import CoordinatorError
from exchange.coordinator.tls import write_private
from exchange.domain.units import NodeId

CA_KEY, CA_CERTIFICATE = "ca.key", "ca.crt"
TOKENS = "tokens"
COORDINATOR = "coordinator"  # the name in its certificate
CA_DAYS = 3_650
CERTIFICATE_DAYS = 90
RENEW_DAYS = 30  # before its end
TOKEN_S = 3_600
TOKEN_MAX = 256  # characters
BACKDATED = datetime.timedelta(hours=1)  # clocks differ
CSR_MAX = 8_192  # bytes


class BadJoin(Exception):  # noqa: N818 - errors are named by fault
    """A token that is no good, or a request that nothing can be signed for."""


def node_name(node_id: NodeId) -> str:
    """Return the name that a node's certificate bears."""
    return f"node-{node_id}"


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in PEM."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def new_request(name: str = "new") -> tuple[bytes, bytes]:
    """Make a private key, and ask for a certificate of it; both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    signed = request.sign(key, hashes.SHA256())
    return _key_text(key), signed.public_bytes(serialization.Encoding.PEM)


def expires(certificate: bytes) -> datetime.datetime:
    """Return when a certificate in PEM ends."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


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
    write_private(directory / _digest(secret), f"{end} {node_id}".encode())
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
        signed = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._issuer.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + datetime.timedelta(days=days)) - BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(_names(name, hosts)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return signed.public_bytes(serialization.Encoding.PEM)

    def _make(self, now: datetime.datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("stock exchange cluster")
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        write_private(self._data_dir / CA_KEY, _key_text(key))
        write_private(
            self._data_dir / CA_CERTIFICATE, made.public_bytes(serialization.Encoding.PEM)
        )


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


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _names(name: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.DNSName("localhost")]
    for host in dict.fromkeys(["127.0.0.1", "::1", *hosts]):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if host.isascii() and host != "localhost":
                names.append(x509.DNSName(host))
    return names


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
