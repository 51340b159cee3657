"""Lines of the feed, literally, and cursors that nobody can make trouble with."""

import msgspec
import pytest

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, Trade
from exchange.domain.units import (
    AccountId,
    Epoch,
    Lots,
    Micros,
    NodeId,
    Seq,
    Symbol,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine.effects import Refused
from exchange.wire.feeds import (
    BOOK,
    ORDERS,
    TRADES,
    Cursor,
    FeedWriter,
    Topic,
    checksum,
    read_cursors,
    write_cursor,
)

AAPL = Symbol("AAPL")
RULE = plain_ticker(AAPL).rule
WRITER = FeedWriter(NodeId(1), Epoch(3))
TS = Micros(1_790_000_000_000_000)


def test_trade_line() -> None:
    """C8."""
    trade = Trade(Seq(17), TradeId(make_id(1, 9)), AAPL, Ticks(1050), Lots(3), Side.BUY, TS)
    told = msgspec.json.decode(WRITER.trade(trade, RULE))
    del told["cursor"]

    assert told == {
        "type": "feed",
        "channel": "trades",
        "node": 1,
        "symbol": "AAPL",
        "seq": 17,
        "trade_id": "1-9",
        "price": "10.5",
        "quantity": "3",
        "aggressor": "buy",
        "ts": "2026-09-21T14:13:20.000000Z",
    }


def test_delta_names_what_changed_and_what_is_gone() -> None:
    """C8."""
    before = ({1050: (3, 1), 1000: (2, 1)}, {1100: (1, 1)})
    after = ({1050: (4, 2), 900: (1, 1)}, {1100: (1, 1)})
    line = WRITER.delta(Topic(BOOK, AAPL), 1, Seq(2), RULE, before, after, TS)
    told = msgspec.json.decode(line)

    assert told["bids"] == [["10.5", "4", 2], ["9", "1", 1], ["10", "0", 0]]
    assert told["asks"] == []
    assert told["crc32"] == checksum([("10.5", "4"), ("9", "1")], [("11", "1")])


@pytest.mark.parametrize(
    "topic",
    [Topic(TRADES, AAPL), Topic(BOOK, AAPL), Topic(ORDERS, account=AccountId(make_id(2, 7)))],
)
def test_cursor_is_read_as_it_was_written(topic: Topic) -> None:
    """C8."""
    assert read_cursors(write_cursor(2, 3, 4, topic, 5)) == {(2, topic): Cursor(3, 4, 5)}


@pytest.mark.parametrize("text", ["", "x", "\u00e9", "=", "MS4x", "A" * 160])
def test_other_texts_are_no_cursors(text: str) -> None:
    """Faults 3."""
    assert isinstance(read_cursors([text]), Refused)
