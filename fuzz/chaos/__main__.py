"""`python -m fuzz.chaos --nodes 3 --minutes 10 --seed S`: exit 0 if nothing was wrong."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec
import trio

from fuzz.chaos.namespaces import why_no_hosts
from fuzz.chaos.run import Settings, command_of, run
from fuzz.summary import say, some_seed


def main() -> int:
    """Run, print the summary as JSON, and say how to run it again."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.chaos", description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="fractions are allowed")
    parser.add_argument("--cycles", type=int, help="stop after so many faults")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--network",
        choices=("relays", "namespaces"),
        default="relays",
        help="namespaces: each node on a host of its own, over TLS; needs root, ip and nft",
    )
    parser.add_argument("--keep", action="store_true", help="leave the directories")
    arguments = parser.parse_args()
    seed = some_seed(arguments.seed)
    print(f"seed {seed}", file=sys.stderr)
    has_hosts = arguments.network == "namespaces"
    why_not = why_no_hosts() if has_hosts else ""
    if why_not:
        print(f"refused: {why_not}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then, too
    begun = time.monotonic()
    settings = Settings(
        seed,
        arguments.nodes,
        arguments.minutes,
        arguments.cycles,
        has_hosts=has_hosts,
        is_shown=True,
    )
    directory = Path(tempfile.mkdtemp(prefix="exchange-chaos-"))
    is_failed = True
    try:
        summary = trio.run(partial(run, settings, directory), strict_exception_groups=True)
        is_failed = bool(summary.wrong)
        found = msgspec.structs.asdict(summary)
        del found["seed"], found["seconds"]
        say("chaos", seed, begun, **found, failed=len(summary.wrong))
    finally:
        if is_failed:
            print(
                f"again: {command_of(settings)}; directories: {directory}",
                file=sys.stderr,
            )
        elif not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if is_failed else 0


if __name__ == "__main__":
    sys.exit(main())
