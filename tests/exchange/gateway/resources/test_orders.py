"""Orders over HTTP: what each outcome looks like, one by one and in lists."""

from typing import Any

import msgspec
import pytest

from exchange.gateway.http.problems import Problem
from exchange.gateway.resources import schema
from tests.exchange.gateway.house import House, Person


def test_order_is_created_and_found_by_either_id(alice: Person) -> None:
    """Interfaces section 3: 201, with where it is durable."""
    placed = alice.order(client_order_id="one")
    order = msgspec.json.decode(placed.content, type=schema.Order)

    assert placed.status_code == 201
    assert int(placed.headers["exchange-lsn"]) > 0
    assert order.status == "open"
    assert alice.call("GET", f"/v1/orders/{order.order_id}").json() == placed.json()
    assert alice.call("GET", "/v1/orders/client/one").json() == placed.json()


def test_repeated_client_order_id_is_answered_as_the_first_time(alice: Person) -> None:
    """Interfaces section 3; faults 2.15: a retry after a lost reply is no second order."""
    first, second = alice.order(client_order_id="two"), alice.order(client_order_id="two")

    assert second.status_code == 200
    assert second.headers["idempotent-replayed"] == "true"
    assert second.content == first.content
    assert len(alice.call("GET", "/v1/orders").json()["orders"]) == 1


def test_same_client_order_id_with_another_body_conflicts(alice: Person) -> None:
    """Interfaces section 3: 409."""
    alice.order(client_order_id="three")
    conflict = alice.order(client_order_id="three", quantity="2")

    assert conflict.status_code == 409
    assert conflict.json()["code"] == "duplicate_client_order_id"


def test_order_without_a_client_order_id_is_given_one(alice: Person) -> None:
    """C7: so that the gateway can send it again when the node restarts in between."""
    assert alice.order().json()["client_order_id"]


@pytest.mark.parametrize(
    ("terms", "status", "code", "pointer"),
    [
        ({"price": "10.555"}, 422, "invalid_price", "/price"),
        ({"quantity": "0.5"}, 422, "invalid_quantity", "/quantity"),
        ({"quantity": "-1"}, 422, "invalid_quantity", "/quantity"),
        ({"quantity": "1000000"}, 422, "insufficient_funds", None),
        ({"type": "stop"}, 422, "not_supported", None),
        ({"time_in_force": "day"}, 422, "not_supported", None),
        ({"side": "HOLD"}, 400, "invalid_value", "/side"),
        ({"symbol": "AAPL\n"}, 400, "invalid_symbol", "/symbol"),
        ({"colour": "red"}, 400, "unknown_field", "/colour"),
        ({"client_order_id": "x" * 65}, 400, "invalid_value", "/client_order_id"),
        ({"price": None}, 400, "missing_field", None),
    ],
)
def test_refusal_names_its_code_and_place(
    alice: Person, terms: dict[str, object], status: int, code: str, pointer: str | None
) -> None:
    """Interfaces section 3: RFC 9457 with code and errors; faults 2.7."""
    refused = alice.order(**terms)  # type: ignore[arg-type]  # of any type, that is the point
    problem = msgspec.json.decode(refused.content, type=Problem)

    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, problem.code) == (status, code)
    assert [error.pointer for error in problem.errors] == ([pointer] if pointer else [])
    assert problem.status == refused.status_code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"[]",
        b"[[]]",
        b"\xff",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"symbol":NaN}',
        b'{"price":1e400}',
    ],
)
def test_malformed_body_is_a_problem(alice: Person, body: bytes) -> None:
    """Faults 3: depth, NaN and bad UTF-8 end as 400, without a trace."""
    refused = alice.call("POST", "/v1/orders", body)

    assert refused.status_code == 400
    assert refused.json()["status"] == 400
    assert "Traceback" not in refused.text


def test_number_is_read_exactly(alice: Person) -> None:
    """M1: 0.1 + 0.2 never happens; what was sent is what rests."""
    placed = alice.call(
        "POST",
        "/v1/orders",
        b'{"symbol":"AAPL","side":"buy","price":10.10,"quantity":3}',
    )

    assert placed.json()["price"] == "10.1"


def test_list_tells_each_outcome_in_its_place(alice: Person) -> None:
    """Interfaces section 3: a list of orders in one request."""
    good = {"symbol": "AAPL", "side": "buy", "price": "9", "quantity": "1"}
    answer = alice.call("POST", "/v1/orders", [good, good | {"price": "0.001"}, good])
    orders = answer.json()["orders"]

    assert answer.status_code == 207
    assert [order["status"] for order in orders] == ["open", 422, "open"]
    assert orders[1]["errors"][0]["pointer"] == "/1/price"


def test_list_of_good_orders_is_created_and_replayed_whole(alice: Person) -> None:
    """Interfaces section 3: 201, then 200 with Idempotent-Replayed."""
    terms = {"symbol": "AAPL", "side": "buy", "price": "9", "quantity": "1"}
    orders = [terms | {"client_order_id": f"list-{place}"} for place in range(100)]
    first = alice.call("POST", "/v1/orders", orders)
    second = alice.call("POST", "/v1/orders", orders)

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.content == first.content


def test_list_of_too_many_orders_is_refused(alice: Person) -> None:
    """Faults 3: a bound on everything."""
    assert alice.call("POST", "/v1/orders", [{}] * 1_001).status_code == 400


def test_order_is_amended_and_canceled(alice: Person) -> None:
    """S9: the answer says exactly what was removed."""
    order_id = alice.order(quantity="5").json()["order_id"]
    amended = alice.call("PATCH", f"/v1/orders/{order_id}", {"quantity": "3"})
    canceled = alice.call("DELETE", f"/v1/orders/{order_id}")
    again = alice.call("DELETE", f"/v1/orders/{order_id}")

    assert (amended.status_code, amended.json()["quantity"]) == (200, "3")
    assert msgspec.convert(canceled.json(), schema.CanceledOrder).canceled_quantity == "3"
    assert (again.status_code, again.json()["canceled_quantity"]) == (200, "0")


def test_order_is_canceled_by_client_order_id(alice: Person) -> None:
    """Interfaces section 3."""
    alice.order(client_order_id="mine")

    assert alice.call("DELETE", "/v1/orders/client/mine").json()["status"] == "canceled"
    assert alice.call("DELETE", "/v1/orders/client/other").status_code == 404


def test_all_orders_are_canceled(alice: Person) -> None:
    """Interfaces section 3."""
    for _ in range(3):
        alice.order()

    assert alice.call("DELETE", "/v1/orders?symbol=AAPL").json() == {"orders": 3}
    assert alice.call("GET", "/v1/orders?status=open").json()["orders"] == []


def test_pages_of_orders_follow_the_cursor(alice: Person) -> None:
    """Interfaces section 3: cursors."""
    placed = [alice.order().json()["order_id"] for _ in range(5)]
    found, cursor = [], ""
    while True:
        page = alice.call("GET", f"/v1/orders?limit=2{cursor}").json()
        found += [order["order_id"] for order in page["orders"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert found == placed


def test_order_of_another_account_is_not_found(house: House, alice: Person) -> None:
    """Faults 3: naming another user's order."""
    mallory = house.open_account()
    order_id = alice.order().json()["order_id"]

    for method in ("GET", "DELETE"):
        assert mallory.call(method, f"/v1/orders/{order_id}").status_code == 404
    assert mallory.call("PATCH", f"/v1/orders/{order_id}", {"price": "1"}).status_code == 404
    assert alice.call("GET", f"/v1/orders/{order_id}").json()["status"] == "open"


@pytest.mark.parametrize(
    ("terms", "detail"),
    [
        ({"side": "HOLD"}, "'HOLD' is none of buy, sell"),
        ({"time_in_force": "never"}, "'never' is none of gtc, ioc"),
        ({"type": "iceberg"}, "'iceberg' is none of limit"),
    ],
)
def test_wrong_value_is_told_with_the_right_ones(
    alice: Person, terms: dict[str, Any], detail: str
) -> None:
    """Interfaces section 3: as over TCP; also in a query."""
    problem = alice.order(**terms).json()
    status = alice.call("GET", "/v1/orders?status=lost").json()
    interval = alice.house.call("GET", "/v1/candles/AAPL?interval=2m").json()

    assert problem["detail"] == problem["errors"][0]["detail"] == detail
    assert "'lost' is none of " in status["detail"]
    assert interval["detail"] == "'2m' is none of 15m, 1d, 1h, 1m, 1s, 5m"
    assert interval["errors"][0]["pointer"] == "/interval"


@pytest.mark.parametrize("field", ["price", "quantity"])
@pytest.mark.parametrize("number", ["-1", "0", "0.0001", "x", "9" * 30, ""])
def test_error_names_its_field_once(alice: Person, field: str, number: str) -> None:
    """Interfaces section 3: "price: price -1 ..." helps nobody."""
    problem = alice.order(**{field: number}).json()

    assert problem["code"] == f"invalid_{field}"
    assert problem["detail"].count(field) == 1


def test_symbol_and_client_order_id_with_a_slash_are_reached(house: House) -> None:
    """Interfaces section 3: `BTC/USD` trades, so its book, its trades and its orders are shown."""
    terms = {"tick_size": "0.5", "lot_size": "0.1", "base_decimals": 8, "quote_decimals": 2}
    value = {"symbol": "SLA/USD", "base": "SLA", "quote": "USD", **terms}
    listed = house.call("POST", "/v1/symbols", value, key=house.operator_key)
    person = house.open_account(USD="1000")
    name = {"symbol": "SLA/USD", "client_order_id": "bot/1"}
    placed = person.order(price="10.5", quantity="0.1", **name)
    public = ["book/SLA%2FUSD", "trades/SLA%2FUSD", "candles/SLA%2FUSD?interval=1m"]
    statuses = [house.call("GET", f"/v1/{path}").status_code for path in public]
    found = person.call("GET", "/v1/orders?symbol=SLA%2FUSD").json()["orders"]
    amended = person.call("PATCH", "/v1/orders/client/bot%2F1", {"price": "11"})
    canceled = person.call("DELETE", "/v1/orders?symbol=SLA%2FUSD")

    assert (listed.status_code, placed.status_code, statuses) == (201, 201, [200] * 3)
    assert [order["client_order_id"] for order in found] == ["bot/1"]
    assert (amended.json()["price"], canceled.json()) == ("11", {"orders": 1})


def test_idempotency_key_is_honoured_or_refused(house: House, alice: Person) -> None:
    """Interfaces section 2: never taken and ignored; for an order it is the client order id."""
    order = {"symbol": "AAPL", "side": "buy", "price": "1", "quantity": "1"}
    header = {"Idempotency-Key": '"wire-4711"'}
    first = alice.call("POST", "/v1/orders", order, headers=header)
    again = alice.call("POST", "/v1/orders", order, headers=header)
    other = {**order, "client_order_id": "another"}
    differs = alice.call("POST", "/v1/orders", other, headers=header)
    in_list = alice.call("POST", "/v1/orders", [order], headers=header)
    opened = house.call("POST", "/v1/account", key=house.operator_key, headers=header)
    read = alice.call("GET", "/v1/account", headers=header)

    assert (first.status_code, first.json()["client_order_id"]) == (201, "wire-4711")
    assert (again.status_code, again.json()) == (200, first.json())
    assert (differs.status_code, differs.json()["errors"][0]["pointer"]) == (
        400,
        "/client_order_id",
    )
    assert (in_list.status_code, in_list.json()["code"]) == (422, "not_supported")
    assert (opened.status_code, opened.json()["code"]) == (422, "not_supported")
    assert read.status_code == 200


def test_answers_say_what_is_left_and_nothing_that_is_not_known(alice: Person) -> None:
    """Faults 3: budgets are told; `Exchange-Visible` only where it was waited for."""
    headers = alice.order().headers

    assert int(headers["ratelimit-remaining"]) < int(headers["ratelimit-limit"])
    assert int(headers.get("exchange-visible", "0")) >= 0
