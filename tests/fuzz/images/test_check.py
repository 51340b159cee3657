"""Power cuts of real nodes: node code comes back from every state of the disk."""

from pathlib import Path

import msgspec
import pytest

from fuzz.images.__main__ import campaign
from fuzz.images.build import Force, Recording, Write
from fuzz.images.record import Tape, can_record, record

CUTS = 1_000  # images of two nodes each


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """Record two nodes that trade with each other."""
    import trio

    why_not = can_record()
    if why_not:
        pytest.skip(why_not)

    async def run() -> Tape:
        return await record(tmp_path_factory.mktemp("run"), rounds=40)

    return trio.run(run)


def test_every_state_a_power_cut_leaves_is_recovered(tape: Tape, tmp_path: Path) -> None:
    """W1, W4, S13: acknowledged work is there, nothing is half-applied, halves agree."""
    wrong = campaign(tape, CUTS, 20_251, tmp_path)

    assert wrong == []


def test_disk_that_forgets_what_was_forced_is_noticed(tape: Tape, tmp_path: Path) -> None:
    """The check can fail: without forces, acknowledged orders are missing."""
    files = [
        Recording(
            file.base,
            [
                msgspec.structs.replace(operation, is_synchronous=False)
                if isinstance(operation, Write)
                else operation
                for operation in file.operations
                if not isinstance(operation, Force)
            ],
        )
        for file in tape.files
    ]
    wrong = campaign(msgspec.structs.replace(tape, files=files), 30, 20_251, tmp_path)

    assert any("acknowledged before" in problem for problem in wrong)
