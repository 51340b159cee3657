"""Strategies: what a client might send that wishes the server ill, or knows no better."""

from typing import Any

import msgspec
from hypothesis import strategies as st

LINE_MAX = 60_000
NASTY = [
    "", "\x00", "\n", "AAPL\n", "AAPL", "../../etc/passwd", "..%2f..%2f", "%00", "%s%n",
    "${jndi:x}",
    "' OR 1=1 --", "<script>", "\u202e", "\ud7ff", "\U0001f600", "A" * 65, "9" * 400, "1-1",
    "1-2", "0-0", "-1", "1e400", "NaN", "Infinity", "0x10", "1_000", "\u0661", " 1", "1 ", "+1",
    "1e999999", "0.00000000000000001", "operator.key", "main", "True", "null", "X" * 16,
]  # fmt: skip
NUMBERS = [0, -1, 1, 2, 10, 2**31, 2**53, 2**63, 2**64, 2**70, -(2**63), 10**30, 0.5, 1e300, -0.0]
NAMES = [
    "symbol", "ticker", "ticker_id", "side", "type", "order_type", "time_in_force", "price",
    "quantity", "client_order_id", "post_only", "self_trade_prevention", "order_id", "status",
    "cursor", "limit", "from_seq", "depth", "user_id", "asset", "scopes", "expires_in", "key_id",
    "channels", "symbols", "seconds", "enabled", "interval", "from", "to", "api_key", "__class__",
]  # fmt: skip
VERBS = [
    "order.create", "order.cancel", "order.cancel_all", "order.amend", "order.get", "orders.list",
    "fills.list", "account.get", "account.close", "account.deposit", "account.withdraw",
    "transfers.list", "key.create", "key.rotate", "key.revoke", "key.list", "book.get",
    "trades.list", "candles.get", "feed.subscribe", "feed.unsubscribe", "session.cancel_after",
    "session.cancel_on_disconnect", "node.status", "R balance", "U balance", "R stock", "C stock",
    "R market", "C order", "R order", "D order", "D account", "C account", "account.create",
    "instrument.create", "cluster.get", "hello", "addr", "joined", "batch", "offer", "reply", "",
]  # fmt: skip
GOOD: dict[str, Any] = {
    "symbol": "AAPL", "ticker": "AAPL", "side": "buy", "order_type": "sell", "price": "10",
    "quantity": 1, "type": "limit", "channels": ["book", "orders"], "symbols": ["AAPL"],
    "asset": "USD", "scopes": ["read"], "limit": 3, "from_seq": 1, "time_in_force": "ioc",
}  # fmt: skip
BROKEN = [
    b"", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 20_000, b'{"a":' * 5_000, b"{" * 50, b'"\\ud800"',
    b'{"type":"order.create","id":1,"value":{"price":NaN}}', b'{"type":"R balance"}}', b"bye",
    b'{"id":1,"type":"order.get","value":{"order_id":"\\ud800"}}', b"x" * 3_000, b"\x16\x03\x01",
    b"GET / HTTP/1.1", b'{"type":"U balance","value":1e999999}', b"17", b'"9-9"', b"null", b"true",
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(NASTY),
    st.sampled_from(NUMBERS),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=6)), inner, max_size=4),
    ),
    max_leaves=8,
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Return fields: some as they should be, some not."""
    body: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=6)):
        body[name] = draw(values) if draw(st.integers(0, 2)) == 0 else GOOD.get(name, "1")
    return body


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Return something in the form of a request."""
    request: dict[str, Any] = {"type": draw(st.sampled_from(VERBS))}
    if draw(st.integers(0, 3)):
        request["id"] = draw(scalars)
    if draw(st.integers(0, 4)):
        request["value"] = draw(bodies()) if draw(st.integers(0, 4)) else draw(values)
    for name in draw(st.lists(st.sampled_from(["auth", "wait", "x", "v"]), max_size=1)):
        request[name] = draw(scalars)
    return request


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes with a few places of them changed."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


_plain = st.one_of(requests(), requests(), values).map(encoded := msgspec.json.encode)
payloads = st.one_of(
    _plain, _plain, _plain.flatmap(changed), st.sampled_from(BROKEN), st.binary(max_size=80)
)
lines = payloads.map(lambda data: data.replace(b"\n", b" ")[:LINE_MAX])

METHODS = [
    "GET",
    "POST",
    "DELETE",
    "PATCH",
    "PUT",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PRI",
    "g",
]
PATHS = [
    "/v1/orders", "/v1/orders/1-1", "/v1/orders/client/a", "/v1/account", "/v1/fills", "/metrics",
    "/v1/transfers", "/v1/symbols", "/v1/book/AAPL", "/v1/trades/AAPL", "/v1/candles/AAPL", "/",
    "/v1/status", "/v1/time", "/v1/openapi.json", "/healthz", "/readyz", "/v1/feed", "*", "/v1/",
    "/operator.key", "/v1/../operator.key", "/v1/book/..%2f..%2foperator.key",
    "/static/../https.key",
    "/v1/orders/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "//etc/passwd", "/v1/book/%00", "http://x/v1/time",
    "/v1/orders/client/" + "%41" * 300, "/v1/book/AAPL%0d%0aX:%20y", "/v1/\xe9", "/.git/config",
]  # fmt: skip
HEADERS = [
    "Content-Length: 5", "Content-Length: 0", "Content-Length: -1", "Content-Length: 99999999999",
    "Transfer-Encoding: chunked", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked",
    "Expect: 100-continue", "Upgrade: h2c", "Upgrade: websocket",
    "Connection: Upgrade, HTTP2-Settings",
    "Connection: close", "Host: a\r\nHost: b", "X: " + "y" * 9_000, "X: a\r\n folded", ": empty",
    "Authorization: Bearer x", "Authorization: Basic eDp5", "Authorization: Bearer 1-1.wrong",
    "Cookie: \x00", "Content-Type: text/xml", "Content-Type: application/json; charset=utf-7",
    "X-HTTP-Method-Override: DELETE", "X-Forwarded-For: 127.0.0.1", "Range: bytes=0-", "\x80: 1",
]  # fmt: skip
QUERIES = [
    "",
    "",
    "?limit=1",
    "?limit=-1",
    "?x=" + "y" * 500,
    "?cursor=%%%",
    "?symbol=A%0a",
    "?&&==",
]


@st.composite
def http_requests(draw: st.DrawFn, key: str) -> tuple[str, bytes]:
    """Return a method, and the bytes of a request that says it has it."""
    method = draw(st.sampled_from(METHODS[:4] if draw(st.integers(0, 3)) else METHODS))
    target = draw(st.sampled_from(PATHS)) + draw(st.sampled_from(QUERIES))
    body = draw(st.one_of(st.just(b""), bodies().map(encoded), payloads))
    head = [f"{method} {target} HTTP/1.{draw(st.sampled_from('1110'))}", "Host: a"]
    if draw(st.integers(0, 2)):
        head.append(f"Authorization: Bearer {key}")
    if body and draw(st.integers(0, 5)):
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if not draw(st.integers(0, 2)):
        head += draw(st.lists(st.sampled_from(HEADERS), max_size=2))
    whole = "\r\n".join([*head, "", ""]).encode("latin-1") + body
    if not draw(st.integers(0, 4)):
        whole = draw(changed(whole))
    return method, whole
