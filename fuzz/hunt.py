"""Run seeds until one fails: what a planted bug is held against.

    python -m fuzz.hunt --bias late --seconds 30

Seconds are those of its own CPU time: other work on the machine does not let a bug survive.
Exit code 0 if something was caught, 1 if the time ran out.
"""

import argparse
import sys
import time

from fuzz.campaign import Style, run_seed
from fuzz.draw import BIASES, SIZES


def hunt(bias: str, seconds: float) -> str:
    """Return what the first failing seed found, empty if there is none in time."""
    seed = 0
    sizes = [size for size in SIZES if size != "large"]
    while time.process_time() < seconds:
        size = sizes[seed % len(sizes)]
        result = run_seed(seed, Style(size, is_checked=seed % 4 == 3, bias=bias))
        if result.failure:
            return f"seed {seed} --size {size} --bias {bias}: {result.failure}"
        seed += 1
    return ""


def main() -> int:
    """Read the command line and hunt."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.hunt", description=__doc__)
    parser.add_argument("--bias", choices=sorted(BIASES), default="mixed")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    found = hunt(options.bias, options.seconds)
    print(found or f"nothing found in {options.seconds} s")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
