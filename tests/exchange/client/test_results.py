"""Answers are typed, and newer servers may say more."""

import msgspec
import pytest

from exchange.client import results
from exchange.client.errors import BadAnswer
from exchange.client.link import Answer

ORDER = {
    "order_id": "1-1",
    "symbol": "X",
    "side": "buy",
    "price": "10",
    "quantity": "5",
    "status": "open",
}


def an_answer(value: object, **beside: int) -> Answer:
    """Make an answer."""
    return Answer("order", msgspec.Raw(msgspec.json.encode(value)), **beside)  # type: ignore[arg-type]


def test_unknown_fields_are_ignored() -> None:
    """A newer server may say more."""
    order = results.decode(an_answer({**ORDER, "colour": "blue"}), results.Order)

    assert order.order_id == "1-1"
    assert not order.is_rejected


def test_missing_field_is_the_servers_fault() -> None:
    """An answer that is none ends as BadAnswer, never as a guess."""
    with pytest.raises(BadAnswer):
        results.decode(an_answer({"order_id": "1-1"}), results.Order)


def test_what_stands_beside_an_order_is_kept() -> None:
    """B3."""
    placed = results.placed(an_answer(ORDER, lsn=7, visible=2))

    assert (placed.lsn, placed.visible, placed.is_replayed) == (7, 2, False)


def test_cancel_says_what_was_removed() -> None:
    """S9."""
    gone = {**ORDER, "status": "canceled", "canceled_quantity": "3", "in_doubt_quantity": "2"}

    canceled = results.canceled(an_answer(gone, lsn=8))

    assert (canceled.canceled_quantity, canceled.in_doubt_quantity, canceled.lsn) == ("3", "2", 8)


def test_result_is_plain_again_for_output() -> None:
    """Interfaces 2: the names are those of the protocol."""
    order = results.decode(an_answer(ORDER), results.Order)

    assert results.plain(order) | ORDER == results.plain(order)
