"""What several tests of the engine begin with."""

import pytest

from exchange.engine import inputs
from tests.support.engines import Engines


@pytest.fixture
def engines() -> Engines:
    """Return a node on its own that is ready."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    return engines
