"""Orders are dealt out to accounts so that nobody trades with themselves."""

import pytest

from exchange.client.flow import FlowError, Spread
from exchange.domain.orders import Side


@pytest.mark.parametrize("accounts", [3, 4, 12, 1000])
def test_no_account_meets_itself(accounts: int) -> None:
    """S10: a self-trade would change the fills."""
    spread = Spread(accounts)

    buyers = {spread.maker(Side.BUY) for _ in range(3000)}
    sellers = {spread.maker(Side.SELL) for _ in range(3000)}
    takers = {spread.taker() for _ in range(3000)}

    assert len(buyers) + len(sellers) + len(takers) == accounts
    assert buyers | sellers | takers == set(range(accounts))


def test_two_accounts_are_not_enough() -> None:
    """Bad input: a clear error."""
    with pytest.raises(FlowError, match="at least 3"):
        Spread(2)
