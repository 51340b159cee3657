"""Addresses as `host:port`, read once and written one way."""

import ipaddress
import re

import msgspec

from exchange.process.errors import BadAddress

# Underscores are in no DNS name of a host, but in the names that containers have.
_HOST = re.compile(r"\A[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z", re.ASCII)
_PORT = re.compile(r"\A[0-9]{1,5}\Z", re.ASCII)
PORT_MAX = 65_535


class Address(msgspec.Struct, frozen=True):
    """A host name or IP address, and a port; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it; a name other than localhost is not."""
        if self.host == "localhost":
            return True
        return _is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback


def is_address(text: str) -> bool:
    """Tell whether a text is `host:port` or `[ipv6]:port`."""
    try:
        parse_address(text)
    except BadAddress:
        return False
    return True


def parse_address(text: str) -> Address:
    """Read `host:port` or `[ipv6]:port`; BadAddress if it is neither."""
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    is_host = _is_ip(host) if bracketed else _HOST.match(host) is not None
    if not separator or not is_host or not _PORT.match(port) or int(port) > PORT_MAX:
        raise BadAddress(f"{text[:80]!r} is not an address", remedy="write HOST:PORT")
    return Address(host, int(port))


def check_listener(flag: str, address: Address, *, is_tls: bool = False) -> None:
    """Refuse to listen where others could reach it without TLS."""
    if address.is_loopback or is_tls:
        return
    raise BadAddress(
        f"{flag} {address} can be reached from other machines, without TLS",
        remedy=f"add --tls, or listen on 127.0.0.1:{address.port}",
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
