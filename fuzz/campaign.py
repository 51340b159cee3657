"""Many runs: one after another, or over processes; a failure names its seed."""

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from fuzz.checkers import Violation
from fuzz.cluster import Cluster
from fuzz.counters import RARE
from fuzz.draw import draw_plan
from fuzz.summary import say

RUNS_FOR_ALL = 1_000  # a campaign of so many runs has to reach every rare state


class Result(msgspec.Struct):
    """What one run came to."""

    seed: int
    failure: str = ""  # empty: all properties held
    digest: str = ""
    counters: dict[str, int] = {}


class Style(msgspec.Struct, frozen=True):
    """How the runs of a campaign are done."""

    size: str | None = None  # None: drawn by each run
    is_checked: bool = False  # engine.check() after every turn
    bias: str = "mixed"


def run_seed(seed: int, style: Style = Style()) -> Result:  # noqa: B008 - it is frozen
    """Do one run."""
    plan = draw_plan(seed, style.size, style.bias)
    cluster = None
    try:
        cluster = Cluster(plan, is_checked=style.is_checked)
        cluster.run()
    except Violation as violation:
        return Result(seed, str(violation))
    except Exception as error:  # an assertion of the engine is a finding like any other
        place = _place(error)
        return Result(seed, f"{type(error).__name__} {error} at {place}")
    return Result(seed, "", cluster.hearing.digest, dict(cluster.counters))


def campaign(seeds: Iterable[int], style: Style, *, processes: int) -> Iterator[Result]:
    """Do many runs; over several processes the results come in any order."""
    run = partial(run_seed, style=style)
    if processes == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=20)


def report(results: Iterable[Result], *, start: int = 0, failures_max: int = 20) -> int:
    """Say how it went; return how many runs failed, plus rare states that were not reached."""
    begun, begun_cpu, runs, failures = time.monotonic(), time.process_time(), 0, 0
    counters: Counter[str] = Counter()
    for result in results:
        runs += 1
        counters.update(result.counters)
        if result.failure:
            failures += 1
            print(f"seed {result.seed}: {result.failure[:600]}", flush=True)
            if failures >= failures_max:
                break
    missing = [name for name in RARE if not counters[name]] if runs >= RUNS_FOR_ALL else []
    took = time.monotonic() - begun
    print(f"{runs} runs, {failures} failed")
    for name, count in sorted(counters.items()):
        print(f"{count:12}  {name}")
    for name in missing:
        print(f"NOT REACHED: {name}: {RARE[name]}")
    cpu = max(time.process_time() - begun_cpu, 1e-9)  # of this process alone
    print(f"{took:.1f} s, {runs / took:.0f} runs/s; CPU {cpu:.1f} s", file=sys.stderr)
    rate = round(runs / took, 1)
    say("runs", start, begun, runs=runs, failed=failures, runs_per_s=rate, not_reached=missing)
    return failures + len(missing)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
