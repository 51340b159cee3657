"""Kill a node at every crash point, from outside: SIGKILL of a real process (faults 2).

Whatever the point, `tests/trading/market.py` lists what must be true afterwards.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.store.crash import CRASH_POINTS
from tests.trading.market import open_market, trade_round
from tests.trading.matrix import CASES, Case, Matrix, armed

PATIENCE_S = 240.0  # for one case: those before it are done first

# The points of a node's very first start; what a killed start leaves is the next one's.
BIRTHS = [
    [
        "directory_locked_store_absent",
        "birth_nonce_forced_unregistered",
        "node_registered_store_absent",
        "new_store_forced_not_renamed",
        "new_store_renamed_directory_unforced",
    ],
    ["store_created_identity_file_absent", "log_redone_epoch_unforced"],
]
ON_A_FULL_DISK = "ballast_released"  # tests/trading/test_full_disk.py


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    chosen = {
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        if "case" in item.callspec.params
    }
    cases = [case for case in CASES if case in chosen]
    with Matrix(tmp_path_factory.mktemp("matrix"), cases) as matrix:
        yield matrix


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_lost_when_a_node_is_killed(case: Case, matrix: Matrix) -> None:
    """S4, S5, S7, S13, E3, E4, W4, W6."""
    matrix.results[case.name].result(PATIENCE_S)


def test_every_answer_ever_given_stands_at_the_end(matrix: Matrix) -> None:
    """E3, faults 2.13, faults 2.15."""
    for finale in matrix.finales:
        finale.result(PATIENCE_S)


async def test_a_node_that_is_killed_while_it_is_born_is_one_node(tmp_path: Path) -> None:
    """W6, C2, faults 2.4: it asks again for the same id, and never takes another's place."""
    async with open_market(tmp_path, nodes=1, accounts=4) as market:
        for points in BIRTHS:
            server = market.local.new_node()
            for point in points:
                server.launch(environment=armed(point))
                assert await server.wait_ended() == -signal.SIGKILL
            await server.start()

        assert await market.cluster.node_ids() == [1, 2, 3]
        await market.open_accounts(8)
        assert [len(market.clients[node_id]) for node_id in market.node_ids] == [4, 4, 4]
        await trade_round(market, 2)
        await market.check()


def test_every_crash_point_kills_a_real_process() -> None:
    """Style habit 8: a point without a kill proves nothing."""
    points = {point for births in BIRTHS for point in births} | {ON_A_FULL_DISK}
    for case in CASES:
        points |= {case.point, *(again.partition(":")[0] for again in case.then)}

    assert points == CRASH_POINTS.keys()
