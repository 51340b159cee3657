"""`python -m fuzz.chaos --nodes 3 --minutes 10 --seed S`: exit 0 if nothing was wrong."""

import argparse
import secrets
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import msgspec
import trio

from fuzz.chaos.run import Settings, run


def main() -> int:
    """Run, print the summary as JSON, and say how to run it again."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.chaos", description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="fractions are allowed")
    parser.add_argument("--cycles", type=int, help="stop after so many faults")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="leave the directories")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1 << 31)
    print(f"seed {seed}", file=sys.stderr)
    settings = Settings(seed, arguments.nodes, arguments.minutes, arguments.cycles, is_shown=True)
    directory = Path(tempfile.mkdtemp(prefix="exchange-chaos-"))
    is_failed = True
    try:
        summary = trio.run(partial(run, settings, directory), strict_exception_groups=True)
        print(msgspec.json.format(msgspec.json.encode(summary)).decode())
        is_failed = bool(summary.wrong)
    finally:
        if is_failed:
            print(
                f"again: python -m fuzz.chaos --nodes {settings.nodes} --minutes "
                f"{settings.minutes:g} --seed {seed}; directories: {directory}",
                file=sys.stderr,
            )
        elif not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if is_failed else 0


if __name__ == "__main__":
    sys.exit(main())
