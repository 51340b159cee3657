"""The head of a request, as far as two servers could read it differently: then it is refused.

What h11 lets through and we do not:

    in a head                                  | why
    -------------------------------------------+--------------------------------------------
    Content-Length and Transfer-Encoding       | one server believes each: request smuggling
    Transfer-Encoding of HTTP/1.0              | the same
    HTTP/2, `PRI *`, `Upgrade: h2c`            | another protocol behind the same bytes
    a header twice that we read                | one server reads the first, one the last
    more than HEADERS_MAX, or HEAD_SIZE bytes  | 431
"""

import re

import h11

from exchange.gateway.http.messages import Head
from exchange.gateway.http.problems import refuse

HEAD_SIZE = 1 << 14  # bytes: the head of a request
HEADERS_MAX = 64
ONCE = {"authorization", "content-type", "content-encoding", "idempotency-key", "expect"}
_LENGTH, _CODING = "content-length", "transfer-encoding"
_BEARER = re.compile(r"\ABearer +([A-Za-z0-9._~+/=-]{1,256})\Z", re.ASCII | re.IGNORECASE)
_ABSOLUTE = re.compile(rb"\Ahttps?://[^/?]*", re.IGNORECASE)


def read_head(event: h11.Request, address: str) -> Head:
    """Read a head; raises h11.RemoteProtocolError if it is ambiguous, and nothing after it counts.

    The name in an absolute target is not looked at, as the Host header is not (RFC 9112 3.2.2).
    """
    size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
    if size > HEAD_SIZE or len(event.headers) > HEADERS_MAX:
        raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
    headers: dict[str, str] = {}
    for name, value in event.headers:
        known = name.decode("ascii")
        text = value.decode("latin-1")
        if known not in headers:
            headers[known] = text
        elif known in ONCE:
            raise h11.RemoteProtocolError(f"the header {known} comes twice")
        else:
            headers[known] += "," + text  # RFC 9110 5.3
    _check(event, headers)
    if event.http_version == b"1.0":
        headers.pop("upgrade", None)  # RFC 9110 7.8
    target = _ABSOLUTE.sub(b"", event.target)
    path, _, query = target.partition(b"?")
    return Head(event.method.decode("ascii"), path, query, headers, address)


def bearer(header: str) -> str:
    """Return the key of an Authorization header, empty without one; 401 for another scheme."""
    if not header:
        return ""
    match = _BEARER.match(header)
    if match is None:
        raise refuse(401, "unauthorized", "send `Authorization: Bearer <key>`")
    return match[1]


def _check(event: h11.Request, headers: dict[str, str]) -> None:
    version = event.http_version
    is_other = version not in (b"1.1", b"1.0") or event.method == b"PRI"
    is_ambiguous = _CODING in headers and (_LENGTH in headers or version == b"1.0")
    if is_other or is_ambiguous or "h2c" in headers.get("upgrade", "").lower():
        raise h11.RemoteProtocolError("a request is HTTP/1.1 with one length")
