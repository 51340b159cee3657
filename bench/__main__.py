"""`python -m bench`: measure everything and say what falls short.

python -m bench                  all parts, about six minutes on a quiet machine
python -m bench orders trades    some of them
python -m bench --scale 0.1 -o json
python -m bench -o markdown      as docs/performance.md has it
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import msgspec
import trio

from bench import exponents, growth, http, orders, recovery, restart, trades
from bench.figures import Figure, markdown, table
from bench.machine import describe

PARTS = ("orders", "trades", "http", "growth", "restart", "recovery")
HTTP_S = 8.0  # for each of its loads


def main() -> int:
    """Run the parts that were asked for; exit 1 if a `must` is not reached."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full load")
    parser.add_argument("-o", "--output", choices=("table", "json", "markdown"), default="table")
    parser.add_argument("--dir", type=Path, help="where to measure: another disk")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        for part in arguments.parts or PARTS:
            print(f"measuring {part} ...", file=sys.stderr)
            figures += _measure(part, Path(directory) / part, arguments.scale)
    machine = describe()
    if arguments.output == "json":
        print(msgspec.json.encode({"machine": machine, "figures": figures}).decode())
    else:
        print("\n".join(f"{name}: {value}" for name, value in machine.items()))
        print()
        print(markdown(figures) if arguments.output == "markdown" else table(figures))
    return 1 if any(figure.verdict == "SHORT" for figure in figures) else 0


def _measure(part: str, directory: Path, scale: float) -> list[Figure]:
    directory.mkdir()
    match part:
        case "orders":
            return trio.run(partial(orders.measure, directory, scale=scale))
        case "trades":
            return trio.run(partial(trades.measure, directory, scale=scale))
        case "http":
            return http.measure(directory, seconds=HTTP_S * scale)
        case "growth":
            return [*growth.measure(scale=scale), *exponents.measure(scale=scale)]
        case "recovery":
            return recovery.measure(directory, scale=scale)
        case _:
            return restart.measure(directory, scale=scale)


if __name__ == "__main__":
    sys.exit(main())
