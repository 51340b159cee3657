"""A book follows from its events, and is what their checksums say."""

import pytest

from exchange.client.errors import BadAnswer
from exchange.client.feed_events import Event, FollowedBook, read_event
from exchange.wire.feeds import checksum


def test_book_follows_its_events() -> None:
    """C8: a level says what it is now, quantity "0" takes it away."""
    book = FollowedBook()
    bids = [("9.5", "1", 1), ("10", "2", 1)]
    first = checksum([("10", "2"), ("9.5", "1")], [])
    event = Event("book", 1, 0, "X", "snapshot", bids=bids, crc32=first)
    book.take(event)
    book.verify(event)
    then = checksum([("9.5", "3")], [("10", "4")])
    gone = [("10", "0", 0), ("9.5", "3", 2)]
    event = Event("book", 1, 1, "X", "delta", bids=gone, asks=[("10", "4", 1)], crc32=then)
    book.take(event)
    book.verify(event)

    assert book.bids() == [("9.5", "3", 2)]
    assert book.asks() == [("10", "4", 1)]


def test_a_book_that_is_not_what_its_checksum_says_is_refused() -> None:
    """C8: CRC32 of the top ten."""
    event = Event("book", 1, 0, "X", "snapshot", crc32=1)
    book = FollowedBook()
    book.take(event)

    with pytest.raises(BadAnswer, match="checksum"):
        book.verify(event)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"type":"feed"}', b'{"type":"order","channel":"x","node":1,"seq":1}']
)
def test_what_is_no_event_is_a_bad_answer(line: bytes) -> None:
    """A server that speaks otherwise ends its connection, and nothing else."""
    with pytest.raises(BadAnswer, match="not an event"):
        read_event(line)
