"""The account over HTTP, and whose key opens it."""

import pytest

from tests.exchange.gateway.house import House, Person

PRIVATE = [
    ("GET", "/v1/account"),
    ("DELETE", "/v1/account"),
    ("GET", "/v1/orders"),
    ("POST", "/v1/orders"),
    ("DELETE", "/v1/orders"),
    ("GET", "/v1/orders/1-1"),
    ("GET", "/v1/fills"),
    ("GET", "/v1/transfers"),
    ("POST", "/v1/transfers"),
    ("POST", "/v1/account"),
    ("POST", "/v1/symbols"),
]
BODIES = {
    "/v1/orders": {"symbol": "AAPL", "side": "buy", "price": "1", "quantity": "1"},
    "/v1/transfers": {"user_id": "1-1", "asset": "USD", "quantity": "1"},
    "/v1/symbols": {
        "symbol": "EVIL",
        "base": "EVIL",
        "quote": "USD",
        "tick_size": "1",
        "lot_size": "1",
        "base_decimals": 0,
        "quote_decimals": 2,
    },
}


def body_of(method: str, path: str) -> object:
    return BODIES.get(path) if method == "POST" else None


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize("key", ["", "wrong", "1-1.wrong", "1-999.wrong", "999-1.wrong", "1-1"])
def test_bad_key_opens_nothing(house: House, method: str, path: str, key: str) -> None:
    """Faults 3: it fails closed, and a real account is told nothing a made-up one is not."""
    refused = house.call(method, path, body_of(method, path), key=key)

    assert refused.status_code == 401
    assert refused.json()["code"] == "unauthorized"
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_my_secret_does_not_open_another_account(house: House, alice: Person) -> None:
    """Faults 3: other account's id with my key."""
    mallory = house.open_account()
    forged = f"{alice.user_id}.{mallory.key.partition('.')[2]}"

    assert house.call("GET", "/v1/account", key=forged).status_code == 401
    assert mallory.call("GET", f"/v1/account?user_id={alice.user_id}").status_code == 401


@pytest.mark.parametrize("path", ["/v1/transfers", "/v1/account", "/v1/symbols"])
def test_what_an_operator_may_an_account_may_not(alice: Person, path: str) -> None:
    """Interfaces section 3: operator key for deposits, issues and listings."""
    body = body_of("POST", path)
    if path == "/v1/transfers":
        body = {"user_id": alice.user_id, "asset": "USD", "quantity": "1"}

    assert alice.call("POST", path, body).status_code in (401, 403)


def test_operator_sees_and_moves_what_an_account_has(house: House, alice: Person) -> None:
    """M3: in and out only by recorded transfers."""
    value = {"user_id": alice.user_id, "asset": "USD", "quantity": "40", "direction": "withdraw"}
    done = house.call("POST", "/v1/transfers", value, key=house.operator_key)
    seen = house.call("GET", f"/v1/account?user_id={alice.user_id}", key=house.operator_key)

    assert (done.status_code, done.json()["available"]) == (201, "99960")
    assert seen.json() == alice.call("GET", "/v1/account").json()
    assert [row["quantity"] for row in alice.call("GET", "/v1/transfers").json()["transfers"]] == [
        "100000",
        "1000",
        "-40",
    ]


def test_fills_are_gapless(house: House, alice: Person) -> None:
    """Interfaces section 1: `seq` from 1."""
    bob = house.open_account(USD="1000", AAPL="10")
    bob.order("sell", price="20", quantity="3")
    for _ in range(3):
        alice.order("buy", price="20", quantity="1")
    fills = bob.call("GET", "/v1/fills").json()

    assert [fill["seq"] for fill in fills["fills"]] == [1, 2, 3]
    assert {fill["role"] for fill in fills["fills"]} == {"maker"}
    assert bob.call("GET", "/v1/fills?from_seq=3").json()["fills"] == fills["fills"][2:]


def test_account_with_something_in_it_is_not_closed(house: House) -> None:
    """Interfaces section 1: `not_empty`, here 409."""
    person = house.open_account(USD="1")
    assert person.call("DELETE", "/v1/account").status_code == 409
    empty = house.open_account()

    assert empty.call("DELETE", "/v1/account").status_code == 200
    assert empty.call("GET", "/v1/account").status_code == 401


def test_transfer_with_a_key_happens_once(house: House) -> None:
    """Faults 3: an operator whose answer was lost sends it again; the header was once ignored."""
    person = house.open_account()
    value = {"user_id": person.user_id, "asset": "USD", "quantity": "100"}
    header = {"Idempotency-Key": "wire-4711"}

    def send(**more: object) -> int:
        body = {**value, **more}
        operator = house.operator_key
        answer = house.call("POST", "/v1/transfers", body, key=operator, headers=header)
        return answer.status_code

    statuses = [send(), send(), send(client_key="wire-4711")]
    refused = [send(quantity="101"), send(client_key="other")]

    assert statuses == [201, 201, 201]
    assert refused == [409, 400]
    assert person.call("GET", "/v1/account").json()["balances"]["USD"]["available"] == "100"
    listed = person.call("GET", "/v1/transfers").json()["transfers"]
    assert [row["client_key"] for row in listed] == ["wire-4711"]
