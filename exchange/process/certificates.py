"""X.509 certificates as they are made here: a key, a name, hosts, and until when.

All are of the curve P-256, begin an hour ago, because clocks differ, and say what they are
for.  Who signs them, and for whom, is the business of `coordinator.authority` and of the
gateway, which makes one for development.
"""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

BACKDATED = datetime.timedelta(hours=1)  # clocks differ
LOOPBACK = ("127.0.0.1", "::1")

Extension = tuple[x509.ExtensionType, bool]  # and whether it is critical


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def common_name(text: str) -> x509.Name:
    """Return a name that consists of a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certify(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    *,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int,
    extensions: Iterable[Extension],
) -> bytes:
    """Sign a certificate; return it in PEM.  With days below zero it has ended already."""
    end = now + datetime.timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - BACKDATED)
        .not_valid_after(end)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def self_signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime.datetime,
    days: int,
    extensions: Iterable[Extension],
) -> bytes:
    """Sign a key's certificate with itself; return it in PEM."""
    own = common_name(name)
    return certify(
        own, key.public_key(), issuer=own, signer=key, now=now, days=days, extensions=extensions
    )


def of_server(
    hosts: Sequence[str], purposes: Sequence[x509.ObjectIdentifier], *, name: str = ""
) -> list[Extension]:
    """Return what a certificate says that is no authority: its hosts, and what it is for."""
    return [
        (x509.SubjectAlternativeName(alternative_names(hosts, name=name)), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage(purposes), False),
    ]


def alternative_names(hosts: Sequence[str], *, name: str = "") -> list[x509.GeneralName]:
    """Return a name, localhost and hosts as a certificate has them; what is no host is left out."""
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in (name, "localhost") if each]
    for host in dict.fromkeys([*LOOPBACK, *hosts]):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if host.isascii() and host != "localhost":
                names.append(x509.DNSName(host))
    return names


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in PEM; ValueError if it is none."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def expires(certificate: bytes) -> datetime.datetime:
    """Return when a certificate in PEM ends; ValueError if it is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc
