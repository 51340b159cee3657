"""Replay one seed, or run a campaign.

python -m fuzz 17                   replay seed 17, byte for byte the same on stdout
python -m fuzz --runs 1000          seeds 0 to 999
python -m fuzz --runs 1000 --start 5000 --size small --processes 2
python -m fuzz --minutes 60 --processes 2   from some seed on, until the time is over
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator

from fuzz.campaign import Result, Style, campaign, report
from fuzz.checkers import Violation
from fuzz.cluster import Cluster
from fuzz.draw import BIASES, SIZES, draw_plan
from fuzz.summary import rounds, some_seed

ROUND = 400  # seeds of a campaign between two looks at the clock


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this run")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, help="instead of a number of runs")
    parser.add_argument("--start", "--seed", type=int, help="first seed")
    parser.add_argument("--size", choices=sorted(SIZES))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="engine.check() after every turn")
    parser.add_argument("--quiet", action="store_true", help="replay without the trace")
    parser.add_argument("--bias", choices=sorted(BIASES), default="mixed")
    options = parser.parse_args()
    style = Style(options.size, options.check, options.bias)
    if options.seed is not None:
        return replay(options.seed, style, is_quiet=options.quiet)
    if options.minutes is not None:
        start = some_seed(options.start)
        results = until_over(start, style, options.minutes, options.processes)
    else:
        start = options.start or 0
        seeds = range(start, start + options.runs)
        results = campaign(seeds, style, processes=options.processes)
    return 1 if report(results, start=start) else 0


def until_over(start: int, style: Style, minutes: float, processes: int) -> Iterator[Result]:
    """Run seed after seed until the time is over."""
    print(f"from seed {start}", flush=True)
    for number in rounds(minutes):
        first = start + number * ROUND
        yield from campaign(range(first, first + ROUND), style, processes=processes)


def replay(seed: int, style: Style, *, is_quiet: bool) -> int:
    """Run one seed and tell its story."""
    begun = time.perf_counter()
    plan = draw_plan(seed, style.size, style.bias)
    print(plan)
    cluster = None
    try:
        cluster = Cluster(plan, trace=None if is_quiet else print, is_checked=True)
        cluster.run()
    except Violation as violation:
        print(f"FAILED: {violation}")
        return 1
    finally:
        print(f"{time.perf_counter() - begun:.3f} s", file=sys.stderr)
    print(f"all properties hold; log digest {cluster.hearing.digest}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # `| head` has seen enough
        os._exit(1)
