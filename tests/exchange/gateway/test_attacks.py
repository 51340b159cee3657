"""Attacks on a real node with its gateway, one a test: each fails closed (faults 3, issue).

Those that need no whole process are tested where they are warded off: join tokens and
certificates in `tests/exchange/coordinator`, forged streams and replies in
`tests/exchange/engine`, keys in `tests/exchange/node/test_access.py`, drips and ambiguous
heads in `http/test_server.py`, floods in `tests/exchange/node/test_desk.py`.
"""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.exchange.gateway.house import House, Person, a_house

SECONDS = 20.0
IDLE = 10_000
DESCRIPTORS = 500  # beside those of the idle ones


def say(house: House, *lines: bytes) -> list[Any]:
    """Send lines to the node, then the end; return its answers."""
    with connected(house) as client:
        client.sendall(b"".join(line + b"\n" for line in lines))
        client.shutdown(socket.SHUT_WR)
        return [msgspec.json.decode(line) for line in client.makefile("rb")]


@contextmanager
def connected(house: House, source: str = "") -> Iterator[socket.socket]:
    host, port = house.tcp.rsplit(":", 1)
    address = (host, int(port))
    origin = (source, 0) if source else None
    with socket.create_connection(address, timeout=SECONDS, source_address=origin) as client:
        yield client


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a node whose gateway speaks plain HTTP, for bytes that no client library sends."""
    with a_house(tmp_path_factory.mktemp("plain") / "node", "--plain-http") as running:
        yield running


def over_http(house: House, request: bytes) -> bytes:
    """Send bytes to the gateway, then the end; return all that it answers."""
    host, port = house.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=SECONDS) as stream:
        stream.sendall(request)
        stream.shutdown(socket.SHUT_WR)
        return stream.makefile("rb").read()


def hello(person: Person, key: str = "") -> bytes:
    return msgspec.json.encode({"user_id": person.user_id, "api_key": key or person.key})


def test_other_accounts_id_with_my_key_is_let_in_nowhere(house: House, alice: Person) -> None:
    """Faults 3: over TCP; over HTTP see `test_accounts`."""
    mallory = house.open_account()
    first = say(house, hello(alice, mallory.key), b'{"type":"R balance"}')
    question = {"id": 1, "type": "account.get", "value": {"user_id": alice.user_id}}
    asked = say(house, hello(mallory), msgspec.json.encode(question))
    borrowed = say(house, hello(mallory), msgspec.json.encode({**question, "auth": mallory.key}))

    assert [each["value"]["code"] for each in first] == ["unauthorized"]
    assert [each["value"]["code"] for each in asked] == ["forbidden"]
    assert [each["value"]["code"] for each in borrowed] == ["unauthorized"]


def test_revoked_key_opens_nothing_on_any_surface(house: House, alice: Person) -> None:
    """Issue: from the answer to the revocation on, also on connections that it had opened."""
    make = msgspec.json.encode({"id": 1, "type": "key.create", "value": {"scopes": ["read"]}})
    (made,) = say(house, hello(alice), make)
    key, key_id = made["value"]["api_key"], made["value"]["key_id"]
    before = house.call("GET", "/v1/account", key=key).status_code
    with connected(house) as open_before:
        answers = open_before.makefile("rb")
        open_before.sendall(hello(alice, key) + b'\n{"type":"R balance"}\n')
        balance = msgspec.json.decode(answers.readline())
        revoke = {"id": 2, "type": "key.revoke", "value": {"key_id": key_id}}
        say(house, hello(alice), msgspec.json.encode(revoke))
        open_before.sendall(b'{"type":"R balance"}\n')
        refused = msgspec.json.decode(answers.readline())

    assert before == 200
    assert isinstance(balance, int | float)
    assert refused["value"]["code"] == "unauthorized"
    assert house.call("GET", "/v1/account", key=key).status_code == 401
    assert say(house, hello(alice, key))[0]["value"]["code"] == "unauthorized"


@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_endless_line_is_told_so_before_the_connection_ends(
    house: House, alice: Person, size: int
) -> None:
    """Interfaces 1: one error line that the client can read, not a reset over it."""
    with connected(house) as client:
        client.sendall(hello(alice) + b"\n" + b"x" * size)
        received = client.makefile("rb").read()

    (line,) = received.splitlines()
    assert msgspec.json.decode(line)["value"]["code"] == "line_too_long"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[" * 100_000, 400, ""),
        (b'{"symbol":' * 50_000, 400, "malformed_json"),
        (b'{"symbol":"AAPL","side":"buy","price":' + b"9" * 4_000 + b',"quantity":1}', 422, ""),
        (b'{"symbol":"AAPL","side":"buy","price":1e999999,"quantity":1}', 422, ""),
        (b'{"symbol":"AAPL","side":"buy","price":NaN,"quantity":1}', 400, "malformed_json"),
        (b'{"symbol":"\xff"}', 400, "malformed_json"),
        (b" " * ((1 << 20) + 1), 413, "body_too_large"),
    ],
)
def test_oversize_and_deeply_nested_bodies_are_refused(
    house: House, alice: Person, body: bytes, status: int, code: str
) -> None:
    """Faults 3: the limit comes before the decoder, and the decoder's limits are caught."""
    refused = alice.call("POST", "/v1/orders", body)

    assert (refused.status_code, refused.json()["status"]) == (status, status)
    assert refused.json()["code"] == (code or refused.json()["code"])
    assert alice.order().status_code == 201


SMUGGLED = [
    b'{"symbol":"AAPL","side":"buy","quantity":1,"price":[1,\n%b\n]}',
    b'{"symbol":"AAPL","side":"buy","quantity":1,"price":{"a":\r\n%b\n}}',
    b'{"symbol":"\xff","side":"buy","quantity":1,"price":1}',
]


@pytest.mark.parametrize("form", SMUGGLED)
@pytest.mark.parametrize("is_list", [False, True])
def test_line_break_in_a_body_is_no_second_request(
    house: House, alice: Person, form: bytes, is_list: bool
) -> None:
    """Faults 3: all users share one connection to the node; nobody writes lines of his own there.

    A body with a line break between two values once ended the requests of all others.
    """
    smuggled = msgspec.json.encode({"id": 1, "type": "node.status", "value": {}})
    body = form % smuggled if b"%b" in form else form
    refused = alice.call("POST", "/v1/orders", b"[" + body + b"]" if is_list else body)
    placed = alice.order()
    amended = alice.call("PATCH", f"/v1/orders/{placed.json()['order_id']}", body)

    codes = {refused.json().get("code"), *(o["code"] for o in refused.json().get("orders", []))}
    assert codes - {None} <= {"invalid_price", "malformed_json"}
    assert placed.status_code == 201
    assert amended.status_code in (400, 422)
    assert "handshake_refused" not in house.server.log.read_text()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (
            b"HEAD /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"400",
        ),
        (b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{", b"400"),
    ],
)
def test_request_that_makes_no_sense_is_not_our_failure(
    plain: House, request_bytes: bytes, status: bytes
) -> None:
    """Found by `make hostile`: each left a trace in the log, and the second was a 500."""
    before = len(plain.server.log.read_bytes())
    answer = over_http(plain, request_bytes)

    assert answer.split(b" ", 2)[1] == status
    assert b"failed" not in plain.server.log.read_bytes()[before:]


@pytest.mark.parametrize(
    "path",
    [
        "/operator.key",
        "/../operator.key",
        "/v1/../operator.key",
        "/v1/%2e%2e/operator.key",
        "/v1/book/..%2f..%2foperator.key",
        "/v1/book/%2e%2e%2f%2e%2e%2foperator.key",
        "/v1/orders/client/..%2f..%2f..%2foperator.key",
        "/v1/trades/....//....//operator.key",
        "/static/../../https.key",
        "/v1/candles/%00operator.key",
        "//etc/passwd",
        "/.git/config",
    ],
)
def test_path_reaches_no_file(plain: House, path: str) -> None:
    """Faults 3: paths name resources, and values in them are never paths of files."""
    key = plain.fuzzer.key
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    answer = over_http(plain, head.encode() + b"Connection: close\r\n\r\n")

    assert int(answer.split(b" ", 2)[1]) in (400, 404)
    assert plain.operator_key.encode() not in answer
    assert b"PRIVATE KEY" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("symbol", ["../../evil", "..", "/tmp/evil", "A\x00B", "AAPL\n", "a" * 300])
def test_name_is_never_a_path_of_the_data_directory(
    house: House, alice: Person, symbol: str
) -> None:
    """Faults 3: a ticker or an id is a key of a table at most."""
    files = sorted(house.server.directory.rglob("*"))
    refused = alice.order(symbol=symbol)
    by_name = alice.call("GET", "/v1/orders/client/..%2f..%2fevil")

    assert refused.json()["code"] in ("invalid_symbol", "invalid_value")
    assert by_name.status_code == 404
    assert sorted(house.server.directory.rglob("*")) == files


FORGED = "\n2026-01-01 FORGED the operator key was changed\x1b[2J\r\u2028"


def test_text_of_a_client_makes_no_line_of_the_log(house: House, alice: Person) -> None:
    """Faults 3: what strangers send is quoted, if it is told to the operator at all."""
    node = {"type": "node", "node_id": FORGED, "cluster": FORGED}
    for line in (node, {"type": FORGED}, {"user_id": FORGED}, {"type": "addr", "value": FORGED}):
        say(house, msgspec.json.encode(line))
    alice.order(client_order_id=FORGED, symbol=FORGED)
    alice.call("GET", "/v1/book/%0a2026%20FORGED%1b", headers={"X-Request-Id": "a FORGED"})
    house.call("GET", "/v1/account", key="1-1.FORGED")
    said = house.server.log.read_text()

    assert not any(line.startswith("2026-01-01 FORGED") for line in said.splitlines())
    assert "\x1b" not in said


@pytest.fixture
def descriptors() -> None:
    """Raise the limit of open files, or skip."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + DESCRIPTORS:
        pytest.skip(f"{IDLE} connections need more than {hard} open files (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.usefixtures("descriptors")
def test_trading_goes_on_beside_ten_thousand_idle_connections(tmp_path: Path) -> None:
    """Faults 3: they cost a bounded amount of memory each, and nobody else's time."""
    with a_house(tmp_path / "node", "--plain-http") as house:  # its memory is looked at
        alice = house.open_account(USD="1000", AAPL="1")
        idle = []
        try:
            for number in range(IDLE):
                source = f"127.0.{1 + number % 16}.1"  # as many people, few hosts
                host, port = house.tcp.rsplit(":", 1)
                client = socket.create_connection(
                    (host, int(port)), timeout=SECONDS, source_address=(source, 0)
                )
                client.sendall(hello(alice) + b"\n")
                idle.append(client)
            by_tcp = say(house, hello(alice), b'{"type":"R balance"}')
            by_http = alice.order()
            idle[0].sendall(b'{"type":"R balance"}\n')
            still = msgspec.json.decode(idle[0].makefile("rb").readline())
        finally:
            for client in idle:
                client.close()
        rss_mb = int(_status(house).partition("VmHWM:")[2].split()[0]) / 1e3

    assert by_tcp == [1000]
    assert by_http.status_code == 201
    assert still == 990
    assert rss_mb < 900


def _status(house: House) -> str:
    return Path(f"/proc/{house.server.pid}/status").read_text()
