"""HTTPS with no configuration: a certificate for development, made at the first start.

It is self-signed, so a browser warns once and a program pins its fingerprint.  The key is
0600 from its first byte on, and both files are whole or absent: a crash between them makes
a new pair.  A real certificate is given by `--tls-cert` and `--tls-key`.

TLS 1.3 alone: older versions fail closed (faults 3).
"""

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange.gateway.errors import BadCertificate
from exchange.process.files import write_file

CERTIFICATE = "https.crt"
KEY = "https.key"
VALID_DAYS = 397  # the longest that browsers accept
BACKDATED = datetime.timedelta(hours=1)  # clocks differ
LOOPBACK = ("127.0.0.1", "::1")


def development_pair(data_dir: Path, *, hosts: Sequence[str], now: datetime.datetime) -> bool:
    """Make certificate and key in the data directory unless they are good; tell whether made."""
    certificate, key = data_dir / CERTIFICATE, data_dir / KEY
    if certificate.exists() and key.exists() and _expires(certificate) > now:
        return False
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stock exchange, development")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_file(key, text)  # 0600
    write_file(certificate, made.public_bytes(serialization.Encoding.PEM))
    return True


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate, as browsers and openssl show it."""
    digest = _read(certificate).fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a listener speaks TLS with; raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        what = f"cannot use {certificate} with {key}: {error.strerror or error}"
        raise BadCertificate(what, remedy="give a PEM certificate chain and its key") from error
    return context


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    for host in dict.fromkeys([*LOOPBACK, *hosts, socket.gethostname()]):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if host.isascii() and host != "localhost":
                names.append(x509.DNSName(host))
    return names


def _expires(certificate: Path) -> datetime.datetime:
    return _read(certificate).not_valid_after_utc


def _read(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        what = f"{certificate} is no certificate: {error}"
        raise BadCertificate(what, remedy="give a PEM file, or delete it") from error
