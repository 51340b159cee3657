"""What a gateway keeps of a topic brings a new subscriber level, or says that it cannot."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exchange.client.feed_events import read_event
from exchange.gateway.feed.topics import RING, Key, TopicState
from exchange.wire.feeds import checksum

KEY = Key(1, "book", "AAPL")


def a_line(seq: int, kind: str, bids: list[tuple[str, str, int]]) -> bytes:
    value = {
        "type": "feed",
        "channel": "book",
        "node": 1,
        "symbol": "AAPL",
        "seq": seq,
        "kind": kind,
        "bids": bids,
        "asks": [],
        "crc32": 0,
        "ts": "t",
        "cursor": f"c{seq}",
    }
    return msgspec.json.encode(value)


def fed(*lines: bytes) -> TopicState:
    state = TopicState(KEY)
    for line in lines:
        state.take(read_event(line), line)
    return state


def test_ring_answers_whoever_comes_again() -> None:
    """C8: resume by cursor, at any gateway that has the events."""
    lines = [a_line(0, "snapshot", []), a_line(1, "delta", []), a_line(2, "delta", [])]
    state = fed(*lines)

    assert state.since("c0") == lines[1:]
    assert state.since("c2") == []
    assert state.since("elsewhere") is None


def test_ring_is_bounded() -> None:
    """C8: what is too old is not answered from memory."""
    state = fed(*(a_line(seq, "delta", []) for seq in range(RING + 1)))

    assert state.since("c0") is None
    assert len(state.since("c1") or []) == RING - 1


def test_snapshot_after_deltas_is_the_book() -> None:
    """C8: levels that are gone are gone; the best comes first."""
    state = fed(
        a_line(0, "snapshot", [("10", "1", 1), ("9.5", "2", 1)]),
        a_line(1, "delta", [("10", "0", 0), ("9.25", "4", 2), ("100", "1", 1)]),
    )
    told = msgspec.json.decode(state.snapshot() or b"null")

    assert told["bids"] == [["100", "1", 1], ["9.5", "2", 1], ["9.25", "4", 2]]
    assert told["crc32"] == checksum([("100", "1"), ("9.5", "2"), ("9.25", "4")], [])
    assert (told["seq"], told["cursor"]) == (1, "c1")


def test_nothing_leads_over_a_resync() -> None:
    """C8: a gap is said, never hidden."""
    state = fed(a_line(0, "snapshot", []), a_line(5, "resync", []), a_line(6, "snapshot", []))

    assert state.since("c0") is None
    assert state.all_since_snapshot() == [a_line(6, "snapshot", [])]


@given(st.lists(st.decimals(0, 1000, places=2), unique=True, max_size=30))
def test_levels_are_in_the_order_of_their_prices(prices: list[object]) -> None:
    """Faults 2.11; M1: compared as exact numbers, though they are texts."""
    texts = {format(price, "f").rstrip("0").rstrip(".") or "0" for price in prices}
    state = fed(a_line(0, "snapshot", [(text, "1", 1) for text in sorted(texts)]))
    told = msgspec.json.decode(state.snapshot() or b"null")
    shown = [float(price) for price, _, _ in told["bids"]]

    assert shown == sorted(shown, reverse=True)
