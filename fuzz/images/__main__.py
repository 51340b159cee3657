"""`python -m fuzz.images --count 100000`: record, cut, recover; exit 0 if nothing was wrong."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import trio

from fuzz.images.check import check_cut, cuts
from fuzz.images.record import Tape, can_record, record
from fuzz.summary import rounds, say, some_seed


def main() -> int:
    """Run a campaign and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.images", description=__doc__)
    parser.add_argument("--count", type=int, default=2_000, help="cuts; each is an image a node")
    parser.add_argument("--rounds", type=int, default=60, help="of orders in the recorded run")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0, help="more rounds of cuts till then")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    why_not = can_record()
    if why_not:
        print(f"skipped: {why_not}")
        return 0
    seed, wrong, count = some_seed(arguments.seed), list[str](), 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tape = trio.run(_record, directory / "run", arguments.rounds, arguments.nodes)
        begun = time.monotonic()
        for number in rounds(arguments.minutes):
            problems = campaign(tape, arguments.count, seed + number, directory / "work")
            wrong += [f"seed {seed + number}, {problem}" for problem in problems]
            count += arguments.count
        took = time.monotonic() - begun
    images = count * arguments.nodes
    writes = sum(len(file.operations) for file in tape.files)
    print(
        f"seed {seed}: {images} images of {writes} calls, {images / took:.0f}/s, {len(wrong)} wrong"
    )
    for problem in wrong[:20]:
        print(f"  {problem}")
    say("images", seed, begun, images=images, calls=writes, failed=len(wrong))
    return 1 if wrong else 0


def campaign(tape: Tape, count: int, seed: int, work: Path) -> list[str]:
    """Check `count` cuts; each problem says how its cut is drawn again."""
    work.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    for number, (instant, unit, source) in enumerate(cuts(tape, count, seed)):
        problems = check_cut(tape, instant, unit, source, work)
        wrong += [f"cut {number} at {instant:.6f}, units of {unit}: {text}" for text in problems]
    return wrong


async def _record(directory: Path, rounds: int, nodes: int) -> Tape:
    return await record(directory, rounds=rounds, nodes=nodes)


if __name__ == "__main__":
    sys.exit(main())
