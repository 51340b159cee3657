"""What clients ask about orders.  Each docstring cites the rule it tests."""

import msgspec
import pytest

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, Status, TimeInForce
from exchange.domain.units import AccountId, Asset, Lots, OrderId, Ticks, Units
from exchange.engine import inputs
from exchange.engine.effects import (
    BalanceAnswer,
    CancelAnswer,
    Done,
    OrderAnswer,
    RemovedAnswer,
)
from exchange.engine.records import OrderPlaced, OrderRejected
from exchange.engine.soft import REJECTIONS_BURST
from tests.exchange.engine.asking import ask, code
from tests.support.engines import Engines

USD, AAPL = Asset("USD"), Asset("AAPL")


def test_placing_moves_funds_from_available_to_held(engines: Engines) -> None:
    """S1."""
    engines.buy(1, 1000, 5)
    engines.sell(1, 2000, 7)

    account = engines.state(1).accounts[engines.account(1)]
    assert (account.available[USD], account.held[USD]) == (995_000, 5_000)
    assert (account.available[AAPL], account.held[AAPL]) == (999_993, 7)


def test_order_beyond_the_funds_is_rejected_and_recorded(engines: Engines) -> None:
    """E2: a well-formed order that a rule refuses leaves an audit trail."""
    item = engines.place(1, Side.BUY, 1_000_000, 2)
    answer = ask(engines, item)

    assert isinstance(answer, OrderAnswer)
    assert (answer.status, answer.reason) == (Status.REJECTED, "insufficient_funds")
    assert len(engines.log(1, OrderRejected)) == 1
    assert engines.state(1).accounts[engines.account(1)].held.get(USD, 0) == 0


def test_order_whose_client_is_told_ok_is_not_described_unless_it_is_rejected(
    engines: Engines,
) -> None:
    """Interfaces section 1: `C order` is answered "ok"."""
    accepted = engines.place(1, Side.BUY, 1000, 2, is_described=False)
    rejected = engines.place(1, Side.BUY, 1_000_000, 2, is_described=False)

    assert ask(engines, accepted) == Done()
    assert isinstance(ask(engines, rejected), OrderAnswer)


def test_retry_gets_the_identical_first_answer(engines: Engines) -> None:
    """Faults 2.15: whatever happened since, and across a restart."""
    item = engines.place(1, Side.BUY, 1000, 5, client_order_id="mine")
    first = ask(engines, item)
    assert isinstance(first, OrderAnswer)
    engines.step(1, inputs.AmendOrder(0, item.account, first.order_id, Ticks(900), Lots(9)))
    engines.kill(1)
    engines.restart(1)
    again = ask(engines, item)

    assert isinstance(again, OrderAnswer)
    assert again.is_replay
    beside = ("lsn", "visible", "is_replay")
    for name in [name for name in OrderAnswer.__struct_fields__ if name not in beside]:
        assert getattr(again, name) == getattr(first, name), name
    assert len(engines.log(1, OrderPlaced)) == 1


def test_rejected_order_answers_a_retry_alike(engines: Engines) -> None:
    """E2, faults 2.15: a rejection is an answer too."""
    item = engines.place(1, Side.BUY, 1_000_000, 2, client_order_id="poor")
    ask(engines, item)
    engines.step(1, inputs.MoveFunds(0, item.account, USD, Units(10_000_000)))
    again = ask(engines, item)

    assert isinstance(again, OrderAnswer)
    assert again.status is Status.REJECTED


def test_client_order_id_with_another_body_is_refused(engines: Engines) -> None:
    """Faults 2.15."""
    ask(engines, engines.place(1, Side.BUY, 1000, 5, client_order_id="mine"))
    answer = ask(engines, engines.place(1, Side.BUY, 1000, 6, client_order_id="mine"))

    assert code(answer) == "duplicate_client_order_id"


def test_client_order_ids_of_two_accounts_are_apart(engines: Engines) -> None:
    """Faults 2.15: the key is the account and the id."""
    other = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, other, b""))
    engines.step(1, inputs.MoveFunds(0, other, USD, Units(100_000)))
    ask(engines, engines.place(1, Side.BUY, 1000, 5, client_order_id="mine"))
    ask(engines, engines.place(1, Side.BUY, 1000, 6, client_order_id="mine", account=other))

    assert len(engines.log(1, OrderPlaced)) == 2


def test_shrinking_keeps_priority_and_the_rest_loses_it(engines: Engines) -> None:
    """S9."""
    order_id = engines.buy(1, 1000, 5)
    order = engines.state(1).orders[order_id]
    stamp = order.stamp
    engines.step(1, inputs.AmendOrder(0, order.account, order_id, None, Lots(3)))
    assert (order.stamp, order.open) == (stamp, 3)

    engines.step(1, inputs.AmendOrder(0, order.account, order_id, None, Lots(4)))
    assert order.stamp > stamp
    stamp = order.stamp
    engines.step(1, inputs.AmendOrder(0, order.account, order_id, Ticks(999), None))
    assert order.stamp > stamp
    assert order.held == 4 * 999


def test_increase_must_be_covered_first(engines: Engines) -> None:
    """S9: the order stands unchanged otherwise."""
    order_id = engines.buy(1, 1000, 5)
    amend = inputs.AmendOrder(99, engines.account(1), order_id, None, Lots(5_000))

    assert code(ask(engines, amend)) == "insufficient_funds"
    assert engines.state(1).orders[order_id].total == 5


def test_amendment_may_cross_and_trade(engines: Engines) -> None:
    """S3: an amendment makes quantity appear."""
    other = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, other, b""))
    engines.step(1, inputs.MoveFunds(0, other, AAPL, Units(100)))
    engines.sell(1, 1000, 5, account=other)
    order_id = engines.buy(1, 990, 5)
    engines.step(1, inputs.AmendOrder(0, engines.account(1), order_id, Ticks(1000), None))

    assert engines.filled(order_id) == 5


def test_total_below_what_is_filled_is_refused(engines: Engines) -> None:
    """S9: final filled <= max(new total, filled + in doubt)."""
    other = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, other, b""))
    engines.step(1, inputs.MoveFunds(0, other, AAPL, Units(100)))
    order_id = engines.buy(1, 1000, 5)
    engines.sell(1, 1000, 3, account=other)
    amend = inputs.AmendOrder(99, engines.account(1), order_id, None, Lots(2))

    assert code(ask(engines, amend)) == "quantity_below_filled"


def test_cancel_says_what_was_removed(engines: Engines) -> None:
    """S9."""
    order_id = engines.buy(1, 1000, 5)
    answer = ask(engines, inputs.CancelOrder(99, engines.account(1), order_id))

    assert isinstance(answer, CancelAnswer)
    assert (answer.removed, answer.in_doubt, answer.order.status) == (5, 0, Status.CANCELED)
    assert engines.state(1).accounts[engines.account(1)].held[USD] == 0


def test_cancel_survives_a_restart(engines: Engines) -> None:
    """Faults 2.13."""
    order_id = engines.buy(1, 1000, 5)
    ask(engines, inputs.CancelOrder(99, engines.account(1), order_id))
    engines.kill(1)
    engines.restart(1)

    order = engines.state(1).find_order(order_id)
    assert order is not None
    assert order.status is Status.CANCELED
    again = ask(engines, inputs.CancelOrder(98, engines.account(1), order_id))
    assert isinstance(again, CancelAnswer)
    assert again.removed == 0


def test_canceling_at_a_price_takes_the_youngest_first(engines: Engines) -> None:
    """Interfaces 1, `D order`: the answer is what was really removed."""
    old = engines.buy(1, 1000, 5)
    young = engines.buy(1, 1000, 5)
    cancel = inputs.CancelAtPrice(
        99, engines.account(1), plain_ticker("AAPL").symbol, Side.BUY, Ticks(1000), Lots(7)
    )
    answer = ask(engines, cancel)

    assert isinstance(answer, RemovedAnswer)
    assert answer.quantity == 7
    assert engines.state(1).orders[old].open == 3
    assert young not in engines.state(1).orders


def test_cancel_all_spares_other_symbols(engines: Engines) -> None:
    """S9."""
    engines.step(1, inputs.ListInstrument(0, plain_ticker("MSFT")))
    engines.buy(1, 1000, 5)
    kept = engines.place(1, Side.BUY, 1000, 5)
    kept = msgspec.structs.replace(kept, symbol=plain_ticker("MSFT").symbol)
    engines.order(1, kept)
    cancel = inputs.CancelAll(99, engines.account(1), plain_ticker("AAPL").symbol)
    answer = ask(engines, cancel)

    assert isinstance(answer, RemovedAnswer)
    assert (answer.orders, answer.quantity) == (1, 5)
    assert len(engines.state(1).orders) == 1


@pytest.mark.parametrize("other", [OrderId(12345), OrderId(1 << 50 | 999)])
def test_unknown_and_foreign_orders_look_alike(engines: Engines, other: OrderId) -> None:
    """Another account's id tells nothing."""
    order_id = engines.buy(1, 1000, 5)
    stranger = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, stranger, b""))

    foreign = ask(engines, inputs.CancelOrder(98, stranger, order_id))
    unknown = ask(engines, inputs.CancelOrder(99, stranger, other))
    assert foreign == unknown
    assert engines.state(1).orders[order_id].open == 5


def test_full_storage_refuses_orders_and_takes_cancels(engines: Engines) -> None:
    """W7."""
    order_id = engines.buy(1, 1000, 5)
    engines.step(1, inputs.StorageState(is_full=True))

    assert code(ask(engines, engines.place(1, Side.BUY, 1000, 5))) == "storage_full"
    assert isinstance(
        ask(engines, inputs.CancelOrder(99, engines.account(1), order_id)), CancelAnswer
    )


def test_stopping_node_refuses_new_orders(engines: Engines) -> None:
    """A graceful stop lets what is there finish."""
    engines.step(1, inputs.Drain())

    assert code(ask(engines, engines.place(1, Side.BUY, 1000, 5))) == "draining"


def test_starting_node_takes_no_orders() -> None:
    """C6: ready = every known peer synced or suspected."""
    engines = Engines(2, linked=False)

    assert code(ask(engines, engines.place(1, Side.BUY, 1000, 5))) == "not_ready"


def test_ioc_cannot_be_amended(engines: Engines) -> None:
    """S2: it never rests."""
    item = engines.place(1, Side.BUY, 1000, 5, time_in_force=TimeInForce.IOC)
    answer = ask(engines, item)
    assert isinstance(answer, OrderAnswer)
    assert (answer.status, answer.reason) == (Status.CANCELED, "immediate_or_cancel")
    amend = inputs.AmendOrder(99, item.account, answer.order_id, None, Lots(3))
    assert code(ask(engines, amend)) == "order_done"


def test_unlisted_instrument_is_refused(engines: Engines) -> None:
    """C1: a listing is the coordinator's."""
    item = msgspec.structs.replace(
        engines.place(1, Side.BUY, 1000, 5), symbol=plain_ticker("GHOST").symbol
    )
    assert code(ask(engines, item)) == "unknown_instrument"


def test_amendment_of_an_order_that_is_not_there_is_refused(engines: Engines) -> None:
    """S9."""
    amend = inputs.AmendOrder(99, engines.account(1), OrderId(12345), Ticks(1), Lots(1))

    assert code(ask(engines, amend)) == "unknown_order"


def test_full_storage_takes_only_what_frees(engines: Engines) -> None:
    """W7: cancels, reductions and withdrawals go on; growth, accounts and deposits wait."""
    order_id, account = engines.buy(1, 1000, 5), engines.account(1)
    engines.step(1, inputs.StorageState(is_full=True))

    grown = inputs.AmendOrder(90, account, order_id, None, Lots(9))
    assert code(ask(engines, grown)) == "storage_full"
    assert code(ask(engines, inputs.OpenAccount(91, AccountId(account + 1), b""))) == "storage_full"
    assert code(ask(engines, inputs.MoveFunds(92, account, USD, Units(5)))) == "storage_full"
    assert isinstance(ask(engines, inputs.MoveFunds(93, account, USD, Units(-5))), BalanceAnswer)
    shrunk = ask(engines, inputs.AmendOrder(94, account, order_id, None, Lots(3)))
    assert isinstance(shrunk, OrderAnswer)


def test_canceling_at_a_price_spares_all_it_does_not_name(engines: Engines) -> None:
    """Interfaces 1, `D order`: other prices stay, and the old ones when enough is removed."""
    old, other = engines.buy(1, 1000, 5), engines.buy(1, 999, 5)
    young = engines.buy(1, 1000, 5)
    symbol = plain_ticker("AAPL").symbol
    cancel = inputs.CancelAtPrice(99, engines.account(1), symbol, Side.BUY, Ticks(1000), Lots(5))
    answer = ask(engines, cancel)

    assert isinstance(answer, RemovedAnswer)
    assert (answer.orders, answer.quantity) == (1, 5)
    assert set(engines.state(1).orders) == {old, other}
    assert young not in engines.state(1).orders


def test_account_has_an_end_of_open_orders() -> None:
    """C4: refused with the figure, and nothing of it is logged."""
    engines = Engines(2, linked=True, open_orders_max=2)
    engines.sell(1, 1000, 1)
    engines.sell(1, 1000, 1)
    item = engines.place(1, Side.SELL, 1000, 1)
    records = engines.step(1, item)
    engines.settle()

    assert code(engines.answers[item.ticket]) == "too_many_open_orders"
    assert "2 orders" in engines.answers[item.ticket].detail  # type: ignore[union-attr]
    assert records == []


def test_rejections_of_an_account_are_logged_at_a_rate() -> None:
    """C4: an account without funds fills no disk; a key that was not logged is decided anew."""
    engines = Engines(2)
    items = [
        engines.place(1, Side.BUY, 1000, 2_000, client_order_id=f"r{number}")
        for number in range(REJECTIONS_BURST + 5)
    ]
    engines.step(1, *items)
    engines.settle()
    logged = len(engines.log(1, OrderRejected))
    last = engines.answers[items[-1].ticket]

    assert logged == REJECTIONS_BURST
    assert code(last) == "insufficient_funds"
    assert "20000 USD are needed, 10000 are available" in last.detail  # type: ignore[union-attr]

    engines.pass_time(2_000_000)
    again = msgspec.structs.replace(items[-1], ticket=9_999, quantity=Lots(1))
    engines.step(1, again)
    engines.settle()

    answer = engines.answers[9_999]
    assert isinstance(answer, OrderAnswer)
    assert answer.status is Status.OPEN
