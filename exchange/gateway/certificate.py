"""HTTPS with no configuration: a certificate for development, made at the first start.

It is self-signed, so a browser warns once and a program pins its fingerprint.  The key is
0600 from its first byte on, and both files are whole or absent: a crash between them makes
a new pair.  A real certificate is given by `--tls-cert` and `--tls-key`.  Files that change are
taken without a restart.

TLS 1.3 alone: older versions fail closed (faults 3).
"""

import datetime
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import trio
from cryptography.x509.oid import ExtendedKeyUsageOID

from exchange.gateway.errors import BadCertificate
from exchange.process import certificates
from exchange.process.certificates import (
    expires,
    key_text,
    new_key,
    of_server,
    self_signed,
)
from exchange.process.files import write_file
from exchange.process.logs import Event

Found = TypeVar("Found")

CERTIFICATE = "https.crt"
KEY = "https.key"
LOOK_S = 5.0  # between looks whether the files have changed
VALID_DAYS = 397  # the longest that browsers accept


def development_pair(data_dir: Path, *, hosts: Sequence[str], now: datetime.datetime) -> bool:
    """Make certificate and key in the data directory unless they are good; tell whether made.

    Raises BadCertificate if they cannot be written.
    """
    certificate, key = data_dir / CERTIFICATE, data_dir / KEY
    if certificate.exists() and key.exists() and _read(certificate, expires) > now:
        return False
    private = new_key()
    made = self_signed(
        "stock exchange, development",
        private,
        now=now,
        days=VALID_DAYS,
        extensions=of_server([*hosts, socket.gethostname()], [ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    try:
        write_file(key, key_text(private))
        write_file(certificate, made)
    except OSError as error:
        what = f"cannot write {key} or {certificate}: {error.strerror}"
        remedy = "give a --data-dir that can be written to, or --tls-cert and --tls-key"
        raise BadCertificate(what, remedy=remedy) from error
    return True


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate, as browsers and openssl show it."""
    digest = _read(certificate, certificates.fingerprint).upper()
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


class ReloadedCertificate:
    """The TLS of new connections, by the files as they are now.

    A pair that cannot be used, half of a change among them, is told and not taken.
    """

    def __init__(self, certificate: Path, key: Path, *, tell: Callable[[Event], object]) -> None:
        self._certificate = certificate
        self._key = key
        self._tell = tell
        self._seen = self._stamps()
        self._context = server_context(certificate, key)

    def __call__(self) -> ssl.SSLContext:
        """Return what the next connection speaks TLS with."""
        return self._context

    async def run(self) -> None:
        """Look at the files, for ever."""
        while True:
            await trio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Take the files if they have changed."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._context = server_context(self._certificate, self._key)
            self._tell(certificate_used(self._certificate))
        except BadCertificate as error:
            text = f"HTTPS goes on with the certificate it had: {error}"
            self._tell(Event("certificate_unusable", text))

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """Return what changes when a file does."""
        return [_stamp(path) for path in (self._certificate, self._key)]


def certificate_used(certificate: Path) -> Event:
    """Return what is told of a certificate when it comes into use; raises BadCertificate."""
    shown = fingerprint(certificate)
    return Event("certificate_used", f"HTTPS certificate SHA-256 {shown}", sha256=shown)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _read(certificate: Path, of: Callable[[bytes], Found]) -> Found:
    """Return what a certificate says."""
    try:
        return of(certificate.read_bytes())
    except (OSError, ValueError) as error:
        what = f"{certificate} is no certificate: {error}"
        raise BadCertificate(what, remedy="give a PEM file, or delete it") from error
