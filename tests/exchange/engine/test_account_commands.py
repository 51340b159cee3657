"""Accounts, funds and instruments.  Each docstring cites the rule it tests."""

import msgspec

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import AMOUNT_MAX, AccountId, Asset, Units
from exchange.engine import inputs
from exchange.engine.effects import BalanceAnswer, Done, Refused
from exchange.engine.records import Transferred
from tests.exchange.engine.asking import ask, code
from tests.support.engines import Engines

USD = Asset("USD")


def test_funds_enter_and_leave_only_by_recorded_transfers(engines: Engines) -> None:
    """M3: double entry against `external`."""
    account = engines.account(1)
    answer = ask(engines, inputs.MoveFunds(99, account, USD, Units(-400)))

    assert isinstance(answer, BalanceAnswer)
    assert answer.available == 999_600
    assert engines.state(1).scalars.external[USD] == -999_600
    assert isinstance(engines.log(1)[-1], Transferred)


def test_withdrawal_of_what_is_held_is_refused(engines: Engines) -> None:
    """S1, M3: a hold cannot be taken away."""
    engines.buy(1, 1000, 900)
    answer = ask(engines, inputs.MoveFunds(99, engines.account(1), USD, Units(-200_000)))

    assert code(answer) == "insufficient_funds"


def test_setting_a_balance_records_the_difference(engines: Engines) -> None:
    """Interfaces 1, `U balance`."""
    answer = ask(engines, inputs.SetBalance(99, engines.account(1), USD, Units(100)))

    assert isinstance(answer, BalanceAnswer)
    assert answer.available == 100
    negative = ask(engines, inputs.SetBalance(98, engines.account(1), USD, Units(-1)))
    assert code(negative) == "insufficient_funds"


def test_amounts_out_of_range_are_refused(engines: Engines) -> None:
    """M1, faults 2.7: bounds are explicit."""
    huge = inputs.MoveFunds(99, engines.account(1), USD, Units(AMOUNT_MAX))

    assert code(ask(engines, huge)) == "amount_out_of_range"


def test_asset_that_no_instrument_has_is_refused(engines: Engines) -> None:
    """M2."""
    move = inputs.MoveFunds(99, engines.account(1), Asset("EUR"), Units(5))

    assert code(ask(engines, move)) == "unknown_asset"


def test_account_that_holds_something_is_not_closed(engines: Engines) -> None:
    """Interfaces 1, `D account`."""
    account = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, account, b""))
    engines.step(1, inputs.MoveFunds(0, account, USD, Units(5)))

    assert code(ask(engines, inputs.CloseAccount(97, account))) == "not_empty"
    ask(engines, inputs.MoveFunds(96, account, USD, Units(-5)))
    assert ask(engines, inputs.CloseAccount(98, account)) == Done()
    order = engines.place(1, Side.BUY, 1, 1, account=account)
    assert code(ask(engines, order)) == "unknown_account"
    assert code(ask(engines, inputs.OpenAccount(95, account, b""))) == "unknown_account"


def test_opening_an_account_twice_does_nothing(engines: Engines) -> None:
    """C1: the coordinator may ask again."""
    before = len(engines.log(1))

    assert ask(engines, inputs.OpenAccount(99, engines.account(1), b"x")) == Done()
    assert len(engines.log(1)) == before


def test_listing_is_idempotent_and_never_changes(engines: Engines) -> None:
    """M2: decimals are fixed at an asset's first listing."""
    apple = plain_ticker("AAPL")
    assert ask(engines, inputs.ListInstrument(99, apple)) == Done()

    other = Instrument(apple.symbol, apple.base, apple.quote, "0.05", "1", 0, 2)
    assert code(ask(engines, inputs.ListInstrument(98, other))) == "already_listed"
    pair = Instrument("AAPL/EUR", apple.base, Asset("EUR"), "0.01", "1", 3, 2)  # type: ignore[arg-type]
    assert code(ask(engines, inputs.ListInstrument(97, pair))) == "already_listed"


def test_unknown_account_is_refused_whatever_is_asked(engines: Engines) -> None:
    """Fails closed: a closed account is as unknown as one that never was."""
    nobody = AccountId(engines.account(1) + 77)

    for item in (
        inputs.CloseAccount(90, nobody),
        inputs.SetKey(91, nobody, b"k"),
        inputs.MoveFunds(92, nobody, USD, Units(5)),
        inputs.SetBalance(93, nobody, USD, Units(5)),
        inputs.CreateKey(94, nobody, "k", bytes(32), 1, 0),
    ):
        assert code(ask(engines, item)) == "unknown_account"


def test_moving_nothing_tells_the_balance_and_logs_nothing(engines: Engines) -> None:
    """M3."""
    before = len(engines.log(1))
    answer = ask(engines, inputs.MoveFunds(90, engines.account(1), USD, Units(0)))

    assert isinstance(answer, BalanceAnswer)
    assert answer.available == 1_000_000
    assert len(engines.log(1)) == before


def keyed(engines: Engines, amount: int, key: str = "wire-1") -> object:
    """Ask for a transfer with a client's key; return the answer."""
    engines.tickets += 1
    move = inputs.MoveFunds(
        engines.tickets, engines.account(1), Asset("USD"), Units(amount), client_key=key
    )
    engines.step(1, move)
    return engines.answers[engines.tickets]


def test_transfer_with_a_key_happens_once_also_over_a_restart() -> None:
    """M3: the same key and terms get the first answer again, whatever happened since."""
    engines = Engines(2)
    first = keyed(engines, 50)
    keyed(engines, 7, "wire-2")
    again = keyed(engines, 50)
    engines.kill(1)
    engines.restart(1)
    later = keyed(engines, 50)

    assert isinstance(first, BalanceAnswer)
    assert (first.available, first.transfer, first.is_replay) == (1_000_050, 3, False)
    assert again == later == msgspec.structs.replace(first, is_replay=True)
    assert engines.balance(1, "USD") == 1_000_057


def test_key_of_a_transfer_is_good_for_no_other_terms() -> None:
    """M3."""
    engines = Engines(2)
    keyed(engines, 50)

    refused = keyed(engines, -50)

    assert isinstance(refused, Refused)
    assert refused.code == "duplicate_client_key"
    assert engines.balance(1, "USD") == 1_000_050


def test_switch_is_logged_and_its_deadline_stays_when_only_the_watch_changes() -> None:
    """S9."""
    engines = Engines(2)
    account = engines.account(1)
    engines.step(1, inputs.SetSwitch(0, account, cancel_after=30))
    armed = engines.state(1).switches[account]
    engines.step(1, inputs.SetSwitch(0, account, is_watched=True))
    both = engines.state(1).switches[account]
    engines.kill(1)
    engines.restart(1)

    assert engines.state(1).switches[account] == both
    assert (both.cancel_after, both.is_watched, both.ts) == (30, True, armed.ts)
    engines.step(1, inputs.SetSwitch(0, account, cancel_after=0, is_watched=False))
    assert account not in engines.state(1).switches


def test_too_little_says_what_is_needed_and_what_is_there() -> None:
    """E: a refusal with figures."""
    engines = Engines(2)

    refused = keyed(engines, -100_000_001)

    assert isinstance(refused, Refused)
    assert refused.detail == "1000000.01 USD are needed, 10000 are available"
