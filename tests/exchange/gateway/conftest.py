"""One market for all tests of a session that do not stop it; each opens its own accounts."""

from collections.abc import Iterator

import pytest

from tests.exchange.gateway.house import House, Person, a_house


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a running node with its gateway, AAPL listed."""
    with a_house(tmp_path_factory.mktemp("gateway") / "node") as running:
        running.list_symbol("AAPL")
        yield running


@pytest.fixture
def alice(house: House) -> Person:
    """Return an account with cash and shares."""
    return house.open_account(USD="100000", AAPL="1000")
