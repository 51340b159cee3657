"""Hypothesis tells stories of a cluster until the time is over.

    python -m fuzz.stories --minutes 60

Every round has a seed of its own; a failure is shrunk to a short script, and the command that
tells it again is printed.
"""

import argparse
import sys
import time

from hypothesis import Phase, seed
from hypothesis.stateful import invariant, run_state_machine_as_test

from fuzz.machine import ClusterMachine
from fuzz.seeded import seeded
from fuzz.summary import rounds, say, some_seed

STEPS = 60
EXAMPLES = 100  # in one round: about half a minute
PHASES = [phase for phase in Phase if phase is not Phase.explain]  # which is slow, and is a trace


def tell(number: int, examples: int) -> int:
    """Tell the stories of one seed; return how many steps they had.  Raises what they break."""
    steps = 0

    class Counted(ClusterMachine):
        @invariant()
        def count(self) -> None:
            nonlocal steps
            steps += 1

    run_state_machine_as_test(
        seed(number)(Counted),
        settings=seeded(examples=examples, phases=PHASES, steps=STEPS),
    )
    return steps


def main() -> int:
    """Read the command line and tell."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.stories", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    first, begun = some_seed(options.seed), time.monotonic()
    steps = stories = 0
    failed = ""
    for number in rounds(options.minutes):
        try:
            steps += tell(first + number, EXAMPLES)
        except BaseException as error:  # Hypothesis groups what it finds
            failed = f"python -m fuzz.stories --minutes 0 --seed {first + number}: {error!r}"
            print("\n".join(getattr(error, "__notes__", [])), failed, sep="\n", file=sys.stderr)
            break
        stories += EXAMPLES
    say("stories", first, begun, stories=stories, steps=steps, failed=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
