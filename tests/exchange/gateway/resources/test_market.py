"""The market's tape is the union of the deciders' tapes."""

import msgspec
import pytest
import trio

from exchange.client.connection import Request
from exchange.client.errors import Unreachable
from exchange.client.link import Answer
from exchange.client.results import Trade, Trades
from exchange.gateway.http.problems import ProblemError
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources.market import any_node, merged, read_cursor, read_tape, write_cursor
from tests.exchange.gateway.house import House, Person


def a_page(first_seq: int, *times: str) -> Trades:
    trades = [
        Trade(first_seq + place, "1-1", "10", "1", ts, "buy", "AAPL")
        for place, ts in enumerate(times)
    ]
    return Trades(trades, first_seq + len(times))


def test_tape_is_ordered_by_time_then_node_then_seq() -> None:
    """Interfaces section 3."""
    tape = merged({2: a_page(1, "t1", "t3"), 1: a_page(4, "t1", "t2")}, limit=3, is_newest=False)

    assert [(trade.node, trade.seq) for trade in tape.trades] == [(1, 4), (2, 1), (1, 5)]
    assert tape.places == {1: 6, 2: 2}


def test_newest_page_ends_with_every_tape() -> None:
    """Interfaces section 3: the cursor of the newest page goes on with what comes later."""
    tape = merged({1: a_page(1, "t1"), 2: a_page(7, "t2", "t3")}, limit=2, is_newest=True)

    assert [(trade.node, trade.seq) for trade in tape.trades] == [(2, 7), (2, 8)]
    assert tape.places == {1: 2, 2: 9}


def test_cursor_is_read_as_it_was_written() -> None:
    """Interfaces section 3: valid at any gateway."""
    assert read_cursor(write_cursor({1: 5, 2: 9}, "AAPL"), "AAPL") == {1: 5, 2: 9}


@pytest.mark.parametrize("text", ["", "x", "%%%%", "é", "kwGkQUFQTA", write_cursor({1: 1}, "MSFT")])
def test_bad_cursor_is_refused(text: str) -> None:
    """Faults 3."""
    with pytest.raises(ProblemError) as caught:
        read_cursor(text, "AAPL")

    assert caught.value.problem.status == 400


def test_trades_are_read_page_by_page(house: House, alice: Person) -> None:
    """S8: what was decided is on the tape, once."""
    house.list_symbol("TAPE")
    house.deposit(alice, "TAPE", "100")
    bob = house.open_account(USD="10000")
    before = house.call("GET", "/v1/trades/TAPE").json()
    for price in ("20", "21", "22"):
        alice.order("sell", symbol="TAPE", price=price)
        bob.order("buy", symbol="TAPE", price=price)
    first = house.call("GET", f"/v1/trades/TAPE?limit=2&cursor={before['cursor']}").json()
    second = house.call("GET", f"/v1/trades/TAPE?limit=2&cursor={first['cursor']}").json()
    newest = house.call("GET", "/v1/trades/TAPE?limit=2").json()

    assert [trade["price"] for trade in first["trades"]] == ["20", "21"]
    assert [trade["price"] for trade in second["trades"]] == ["22"]
    assert [trade["price"] for trade in newest["trades"]] == ["21", "22"]
    assert {trade["aggressor"] for trade in first["trades"]} == {"buy"}


def test_book_shows_levels_best_first(house: House, alice: Person) -> None:
    """Faults 2.11: two bids, the best is the highest."""
    house.list_symbol("DEEP")
    for price in ("5", "7", "6"):
        alice.order(symbol="DEEP", price=price)
    book = house.call("GET", "/v1/book/DEEP?depth=2").json()

    assert book["bids"] == [["7", "1", 1], ["6", "1", 1]]
    assert house.call("GET", "/v1/book/DEEP?depth=2&node=1").json() == book


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/book/NONE", 404),
        ("/v1/trades/NONE", 404),
        ("/v1/book/none", 400),
        ("/v1/book/AAPL?node=77", 404),
        ("/v1/book/AAPL?depth=0", 400),
        ("/v1/trades/AAPL?cursor=nonsense", 400),
    ],
)
def test_what_is_not_there_is_said(house: House, path: str, status: int) -> None:
    """Interfaces section 3."""
    assert house.call("GET", path).status_code == status


def test_listing_again_with_other_terms_conflicts(house: House) -> None:
    """M2: an instrument never changes."""
    terms = {
        "symbol": "LIST",
        "base": "LIST",
        "quote": "USD",
        "tick_size": "0.5",
        "lot_size": "1",
        "base_decimals": 0,
        "quote_decimals": 2,
    }
    key = house.operator_key
    first = house.call("POST", "/v1/symbols", terms, key=key)
    second = house.call("POST", "/v1/symbols", terms | {"tick_size": "0.25"}, key=key)

    assert (first.status_code, second.status_code) == (201, 409)
    listed = house.call("GET", "/v1/symbols").json()["instruments"]
    assert "LIST" in {each["symbol"] for each in listed}


class OneAway(Nodes):
    """Two nodes, the second of which is away."""

    def __init__(self) -> None:
        """Connect to nobody."""

    async def node_ids(self) -> list[int]:
        return [1, 2]

    async def ask(
        self, node_id: int, request: Request, *, symbol: str = "", within: float = 6.0
    ) -> Answer:
        if node_id == 2:
            raise Unreachable("the node is not there")
        return Answer("trades", msgspec.Raw(b'{"trades":[],"next_seq":1}'))


async def test_tape_says_whose_trades_are_missing() -> None:
    """Faults 2: a tape with holes would be a lie; the reader learns which node is away."""
    with pytest.raises(ProblemError) as caught:
        await read_tape(OneAway(), "AAPL", {}, limit=10)

    problem = caught.value.problem
    assert (problem.status, problem.code) == (503, "unavailable")
    assert problem.detail.startswith("node 2 is not there just now")


async def test_nobody_waits_for_a_node_that_was_lost(nursery: trio.Nursery) -> None:
    """C7: any node can tell of the book; one that was never asked goes before a lost one."""
    dialed: list[int] = []

    class Two(Nodes):
        async def node_ids(self) -> list[int]:
            return [1, 2]

        async def ask(
            self, node_id: int, request: Request, *, symbol: str = "", within: float = 6.0
        ) -> Answer:
            dialed.append(node_id)
            return Answer("book", msgspec.Raw(b"{}"))

        def is_away(self, node_id: int) -> bool:
            return node_id == 1

    await any_node(Two(nursery, "127.0.0.1:1"), Request("book.get", {}))

    assert dialed == [2]
