"""Files of order flow are read as their description says, and bad ones by line."""

import gzip
from pathlib import Path

import pytest

from exchange.client.flow import Aggress, Amend, Cancel, FlowError, Hit, Place
from exchange.client.flow_file import HEADER, Folded, Row, fold, read_flow
from exchange.domain.orders import Side
from exchange.domain.units import Lots, Symbol, Ticks

ROOT = Path(__file__).parents[3]
ESH4 = ROOT / "bench" / "data" / "esh4.csv.gz"
AAPL = ROOT / "bench" / "data" / "aapl.csv.gz"


def hit(key: str, quantity: int) -> Hit:
    return Hit(key, Lots(quantity))


def lines(*rows: str) -> list[str]:
    return [",".join(HEADER), *rows]


def test_real_flow_is_folded_to_its_opening_book() -> None:
    """The data's description: 8,834 orders are left, best 4800.00 / 4800.25."""
    with gzip.open(ESH4, "rt") as file:
        flow = read_flow(file, "ESH4", accounts=12)

    (instrument,) = flow.instruments
    placed = [action for action in flow.actions[:8834] if isinstance(action, Place)]
    bids = [order.price for order in placed if order.side is Side.BUY]
    asks = [order.price for order in placed if order.side is Side.SELL]
    assert instrument.tick_size == "0.25"
    assert len(placed) == 8834
    assert isinstance(flow.actions[8834], Aggress)
    assert instrument.rule.tick.text(max(bids)) == "4800"
    assert instrument.rule.tick.text(min(asks)) == "4800.25"


def test_real_flow_has_its_aggressors() -> None:
    """The data's description: 1,385 aggressor lines after the auction."""
    with gzip.open(ESH4, "rt") as file:
        flow = read_flow(file, "ESH4", accounts=12)

    aggressors = [action for action in flow.actions if isinstance(action, Aggress)]
    assert len(aggressors) == 1385
    assert all(
        sum(hit.quantity for hit in one.expected or ()) == one.quantity for one in aggressors
    )
    assert len({one.key for one in aggressors}) == 1385


def test_equity_flow_makes_one_aggressor_of_a_run_of_fills() -> None:
    """The data's description: add, reduce, cancel, fill; hidden is ignored."""
    flow = read_flow(
        lines(
            "1,add,buy,10.00,5,a",
            "2,add,buy,10.01,5,b",
            "3,fill,buy,10.01,5,b",
            "3,fill,buy,10.00,2,a",
            "4,hidden,sell,10.05,9,0",
            "5,reduce,buy,10.00,1,a",
            "6,cancel,buy,10.00,2,a",
            "7,cancel,buy,9.00,2,older-than-the-file",
        ),
        "AAPL",
        accounts=3,
    )

    symbol = Symbol("AAPL")
    assert flow.actions == [
        Place(2, symbol, "a", 0, Side.BUY, Ticks(1000), Lots(5)),
        Place(3, symbol, "b", 0, Side.BUY, Ticks(1001), Lots(5)),
        Aggress(
            4, symbol, "taker@4", 2, Side.SELL, Ticks(1000), Lots(7), (hit("b", 5), hit("a", 2))
        ),
        Cancel(7, symbol, "a", Lots(1)),
        Cancel(8, symbol, "a", Lots(2)),
    ]
    assert flow.ignored == 1


def test_real_equity_flow_is_read() -> None:
    """The data's description: tick 0.01."""
    with gzip.open(AAPL, "rt") as file:
        flow = read_flow(file, "AAPL", accounts=4)

    assert flow.instruments[0].tick_size == "0.01"
    assert len(flow.actions) > 800


def test_fold_moves_an_order_back_unless_it_only_shrinks() -> None:
    """Price-time priority holds in what is folded, too."""
    rows = [
        Row(2, 1, "add", Side.BUY, Ticks(10), Lots(5), "shrinks"),
        Row(3, 1, "add", Side.BUY, Ticks(10), Lots(5), "grows"),
        Row(4, 1, "add", Side.SELL, Ticks(9), Lots(5), "crossed"),
        Row(5, 1, "modify", Side.BUY, Ticks(10), Lots(6), "grows"),
        Row(6, 1, "modify", Side.BUY, Ticks(10), Lots(4), "shrinks"),
        Row(7, 2, "trade", None, Ticks(10), Lots(3), "0"),
        Row(8, 2, "fill", None, Ticks(10), Lots(3), "shrinks"),
        Row(9, 2, "cancel", Side.SELL, Ticks(9), Lots(5), "crossed"),
        Row(10, 3, "trade", Side.SELL, Ticks(10), Lots(1), "x"),
    ]

    book, end = fold(rows)

    assert end == 8
    assert list(book.items()) == [
        ("shrinks", Folded(2, Side.BUY, Ticks(10), Lots(1))),
        ("grows", Folded(5, Side.BUY, Ticks(10), Lots(6))),
    ]


def test_fill_of_the_aggressor_itself_is_ignored() -> None:
    """The data's description."""
    flow = read_flow(
        lines(
            "1,add,buy,10,5,a",
            "2,add,sell,11,5,b",
            "3,trade,,10,1,0",
            "4,trade,buy,11,2,a",
            "4,fill,sell,11,2,b",
            "4,fill,buy,11,2,a",
            "4,modify,sell,11,3,b",
        ),
        "X",
        accounts=3,
    )

    symbol = Symbol("X")
    assert flow.actions[2:] == [
        Aggress(5, symbol, "a@5", 2, Side.BUY, Ticks(11), Lots(2), (hit("b", 2),)),
        Amend(8, symbol, "b", Ticks(11), Lots(3)),
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,add,buy,10,5", "line 2"),
        ("1,add,buy,10,x,a", "line 2"),
        ("1,add,buy,NaN,5,a", "line 2"),
        ("1,add,buy,1e999999,5,a", "line 2"),
        ("1,add,buy,-1,5,a", "line 2"),
        ("1,add,buy,10,0,a", "above zero"),
        ("1,add,HOLD,10,5,a", "line 2"),
        ("1,eat,buy,10,5,a", "line 2: unknown kind"),
        ("1,add,,10,5,a", "needs a side"),
        ("1,add,buy,0,5,a", "zero"),
        ("1,add,buy,10." + "1" * 2000 + ",5,a", "line 2"),
    ],
)
def test_bad_row_is_named_by_its_line(row: str, told: str) -> None:
    """Bad input: a clear error, what and where."""
    with pytest.raises(FlowError, match=told) as caught:
        read_flow(lines(row), "X", accounts=3)

    assert caught.value.exit_code == 2


def test_order_added_twice_is_named() -> None:
    """Faults 2.7: duplicate ids."""
    with pytest.raises(FlowError, match="line 3: order a is added twice"):
        read_flow(lines("1,add,buy,10,5,a", "1,add,buy,10,5,a"), "X", accounts=3)


@pytest.mark.parametrize("text", ["", "a,b,c\n", ",".join(HEADER) + "\n"])
def test_file_without_rows_or_header_is_refused(text: str) -> None:
    """Bad input: a clear error."""
    with pytest.raises(FlowError):
        read_flow(text.splitlines(), "X", accounts=3)


def test_bad_symbol_is_refused() -> None:
    """Bad input: a clear error."""
    with pytest.raises(FlowError, match="--symbol"):
        read_flow(lines("1,add,buy,10,5,a"), "no symbol\n", accounts=3)


@pytest.mark.parametrize(
    ("rows", "tick", "lot", "quote"),
    [
        (("1,add,sell,30.97,100,1", "2,hidden,buy,30.965,100,0"), "30.97", "1", "USD"),
        (("1,add,sell,0.1234,100,1", "2,fill,sell,0.1234,50,1"), "0.1234", "1", "USD-4"),
        (("1,add,sell,1.08342,1000,1", "2,add,buy,1.08341,1,2"), "0.00001", "1", "USD-5"),
        (("1,add,sell,0.00001234,1000,1",), "0.00001234", "1", "USD-8"),
        (("1,add,sell,61000.5,0.25,1", "2,fill,sell,61000.5,0.1,1"), "61000.5", "0.01", "USD-3"),
    ],
)
def test_real_file_is_read_in_units_that_hold_its_numbers(
    rows: tuple[str, ...], tick: str, lot: str, quote: str
) -> None:
    """M1, M2: shares below a dollar, currencies, coins; what is ignored moves no tick."""
    instrument = read_flow(lines(*rows), "X", accounts=3).instruments[0]

    assert (instrument.tick_size, instrument.lot_size, instrument.quote) == (tick, lot, quote)
