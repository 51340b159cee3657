"""What a mistyped symbol was meant to be."""

import pytest

from exchange.domain.similar import similar_to

LISTED = {"AAPL", "MSFT", "BTC/USD", "BRK.B"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aapl", "AAPL"),
        ("APAL", "AAPL"),
        ("AAP", "AAPL"),
        ("AAPLL", "AAPL"),
        ("MSFD", "MSFT"),
        ("BTCUSD", "BTC/USD"),
        ("BTC-USD", "BTC/USD"),
        ("BRKB", "BRK.B"),
        ("TSLA", None),
        ("", None),
    ],
)
def test_one_slip_is_understood(typed: str, meant: str | None) -> None:
    """M2."""
    assert similar_to(typed, LISTED) == meant


def test_the_longest_symbol_costs_a_bounded_number_of_look_ups() -> None:
    """A stranger's mistake must cost nobody a search of all that is listed."""

    class Counting:
        count = 0

        def __contains__(self, symbol: object) -> bool:
            self.count += 1
            return False

    listed = Counting()

    assert similar_to("X" * 32, listed) is None
    assert listed.count < 2_700
