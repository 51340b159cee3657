"""Whatever a market went through, the tools tell each of its trades as its decider recorded it."""

from collections.abc import Sequence

import pytest

from exchange.engine.records import Record, TradeAccepted
from fuzz.checkers.telling import ToldAsDecided
from fuzz.cluster import Cluster
from fuzz.draw import draw_plan
from fuzz.violation import Violation


class EveryTradeToldAsDecided(ToldAsDecided):
    """All of them, not a sample."""

    told_max = 10**9


@pytest.mark.parametrize("bias", ["mixed", "late", "paused"])
@pytest.mark.parametrize("seed", range(6))
def test_every_trade_of_a_market_is_told_as_its_decider_recorded_it(seed: int, bias: str) -> None:
    """S3 to S7.  Declined trades were told as committed, with the records of strangers."""
    cluster = Cluster(draw_plan(seed, "medium", bias), more=(EveryTradeToldAsDecided,))

    cluster.run()

    assert cluster.hearing.digest, "it got to its end"


def test_a_wrong_telling_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker itself: a telling that takes everything for committed."""

    def optimist(records: Sequence[Record]) -> str:
        return "committed" if any(isinstance(one, TradeAccepted) for one in records) else "unknown"

    monkeypatch.setattr("fuzz.checkers.telling.outcome", optimist)

    def markets() -> None:
        for seed in range(20):
            Cluster(draw_plan(seed, "small"), more=(EveryTradeToldAsDecided,)).run()

    with pytest.raises(Violation, match="is told as unknown"):
        markets()
