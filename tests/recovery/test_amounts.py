"""Amounts are told as decimals with what they are of, never as ticks."""

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import AccountId, Asset, Lots, Micros, NodeId, Symbol, Ticks, Units
from exchange.engine.records import InstrumentListed, OrderAmended, Transferred
from recovery.amounts import amounts, cost_text, money_text, price_text, quantity_text
from recovery.subjects import Subjects

COIN = Instrument(Symbol("BTC/EUR"), Asset("BTC"), Asset("EUR"), "0.5", "0.001", 8, 4)
AAPL = plain_ticker("AAPL")
TS = Micros(0)


def test_prices_and_quantities_have_the_units_of_their_instrument() -> None:
    """M1, M2."""
    assert price_text(3, COIN) == "1.5 EUR"
    assert quantity_text(2500, COIN) == "2.5 BTC"
    assert cost_text(2500 * 200, AAPL) == "5000 USD"


def test_without_the_instrument_ticks_and_lots_are_called_so() -> None:
    """A log may begin behind the listing."""
    assert price_text(3, None) == "3 ticks"
    assert quantity_text(1, None) == "1 lot"
    assert cost_text(9, None) == "9 ticks x lots"


def test_money_of_an_asset_nobody_has_listed_is_told_in_its_smallest_unit() -> None:
    """M2: its decimals are not known."""
    assert money_text(1050, "USD", []) == "10.5 USD"
    assert money_text(7, "XYZ", [COIN]) == "7 smallest units of XYZ"
    assert money_text(7, "BTC", [COIN]) == "0.00000007 BTC"


def test_each_amount_of_a_record_is_told_by_the_name_of_its_field() -> None:
    """Interfaces 5: what `log` and `timeline` print."""
    subjects = Subjects(NodeId(1))
    subjects.learn(InstrumentListed(COIN, TS))
    moved = Transferred(AccountId(1), Asset("EUR"), Units(-25_000), TS)
    amended = OrderAmended(1, Ticks(3), Lots(4), 0, TS)  # type: ignore[arg-type]

    assert amounts(moved, subjects) == {"amount": "-2.5 EUR"}
    assert amounts(amended, subjects) == {"price": "3 ticks", "quantity": "4 lots"}
