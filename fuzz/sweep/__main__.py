"""Sweep, and end with a line of JSON that says how it went; exit 1 if anything was wrong.

    python -m fuzz.sweep                    one node: every k, and every kind of failure
    python -m fuzz.sweep --nodes 3          three that trade: each is killed at every k
    python -m fuzz.sweep --nodes 3 --double ... and once more, at a drawn call
    python -m fuzz.sweep --step 7           every seventh

A point ends in one of three ways: `met`, the node died at the call, was failed by it, or
stopped with a clear error; `lived`, it took the fault and went on, or never made that many
calls; `wrong`, which is printed.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import trio

from fuzz.images.record import can_record
from fuzz.summary import say, some_seed
from fuzz.sweep.cluster import (
    Base,
    ClusterPoint,
    cluster_kills,
    count_calls,
    double_kills,
    prepare_cluster,
    run_cluster_point,
)
from fuzz.sweep.points import Point, failures, kills
from fuzz.sweep.single import calls_of_scenario, prepare, run_point

SHOWN_EVERY = 25  # points

Found = tuple[str, list[str]]  # how a point ended, what was wrong
Task = tuple[str, str, Callable[[], Found]]  # kind, name, what to do


def main() -> int:
    """Sweep, and print what happened."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=1, choices=range(1, 10), metavar="N")
    parser.add_argument("--double", action="store_true", help="a second kill at each point, too")
    parser.add_argument("--step", type=int, default=1, help="every how many-th call")
    parser.add_argument("--minutes", type=float, help="as many points, in a drawn order, as fit")
    parser.add_argument("--seed", type=int, help="of that order, and of the second kills")
    arguments = parser.parse_args()
    if arguments.double and arguments.nodes == 1:
        parser.error("--double needs --nodes 2 or more")
    seed, begun = some_seed(arguments.seed), time.monotonic()
    why_not = can_record()
    if why_not:
        print(f"skipped: {why_not}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the nodes then, too
    with tempfile.TemporaryDirectory(prefix="exchange-sweep-") as name:
        tasks = _tasks(Path(name), arguments, seed)
        print(f"seed {seed}: {len(tasks)} points", file=sys.stderr, flush=True)
        minutes = arguments.minutes
        counts, wrong = _sweep(tasks, begun + 60 * minutes if minutes else None)
    tried = {kind: sum(found.values()) for kind, found in counts.items()}
    say(
        "sweep",
        seed,
        begun,
        nodes=arguments.nodes,
        points=sum(tried.values()),
        of=len(tasks),
        kinds=counts,
        failed=wrong,
    )
    return 1 if wrong else 0


def _tasks(work: Path, arguments: argparse.Namespace, seed: int) -> list[Task]:
    """Return what to try: the kills first, in a drawn order if time is short."""
    step, source = arguments.step, Random(seed)
    single, cluster = work / "single", work / "cluster"
    groups: list[list[Task]] = []
    single.mkdir()
    base = trio.run(prepare, single)
    calls = calls_of_scenario(base, single)
    if arguments.nodes > 1:
        groups += _cluster_tasks(cluster, arguments, seed)
    for kind, points in (
        ("kill", list(kills(calls, step))),
        ("failure", list(failures(1, max(calls.values()) // 2, 3 * step))),
    ):
        groups.append([(kind, p.name, partial(_one, base, single, p)) for p in points])
    if arguments.minutes is not None:
        for group in groups:
            source.shuffle(group)
    return [task for group in groups for task in group]


def _cluster_tasks(work: Path, arguments: argparse.Namespace, seed: int) -> list[list[Task]]:
    work.mkdir()
    base = trio.run(prepare_cluster, work, arguments.nodes)
    calls, recovery = trio.run(count_calls, base, work)
    groups = {"kill in a cluster": list(cluster_kills(calls, arguments.step))}
    if arguments.double:
        points = double_kills(calls, recovery, seed, arguments.step)
        groups["double kill in a cluster"] = list(points)
    return [
        [(kind, p.name, partial(_one_of_cluster, base, work, p)) for p in points]
        for kind, points in groups.items()
    ]


def _one(base: Path, work: Path, point: Point) -> Found:
    outcome = trio.run(run_point, base, work, point)
    return "lived" if outcome.exit_code is None else "met", outcome.wrong


def _one_of_cluster(base: Base, work: Path, point: ClusterPoint) -> Found:
    outcome = trio.run(run_cluster_point, base, work, point)
    wanted = len(point.kills) + len(point.again)
    return "met" if outcome.met == wanted else "lived", outcome.wrong


def _sweep(tasks: Sequence[Task], end: float | None) -> tuple[dict[str, Counter[str]], int]:
    """Try one after the other until the time is over."""
    counts: dict[str, Counter[str]] = {}
    wrong = 0
    for number, (kind, name, work) in enumerate(tasks, 1):
        if end is not None and number > 1 and time.monotonic() > end:
            break
        how, problems = work()
        counts.setdefault(kind, Counter())["wrong" if problems else how] += 1
        wrong += bool(problems)
        for problem in problems:
            print(f"{name}: {problem}", flush=True)
        if number % SHOWN_EVERY == 0:
            print(f"{number} of {len(tasks)} points, {wrong} wrong", file=sys.stderr, flush=True)
    return counts, wrong


if __name__ == "__main__":
    sys.exit(main())
