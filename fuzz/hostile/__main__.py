"""Run a campaign.

python -m fuzz.hostile --inputs 100000 --seed 1
python -m fuzz.hostile --peers --inputs 100000 --seed 1
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz.hostile import peers
from fuzz.hostile.campaign import campaign
from fuzz.hostile.target import Target


def main() -> int:
    """Run a campaign; 1 if it found something."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.hostile", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers", action="store_true", help="lies of a peer, in memory")
    options = parser.parse_args()
    if options.peers:
        return _lies(options.inputs, options.seed)
    with tempfile.TemporaryDirectory(prefix="hostile-") as directory:
        target = Target(Path(directory))
        try:
            report = campaign(target, count=options.inputs, first_seed=options.seed)
        finally:
            target.close()
    for finding in report.findings:
        print(f"FOUND {finding}\n")
    before, after = report.rss_mb
    print(f"{report.inputs.total()} inputs in {report.seconds:.0f} s: {dict(report.inputs)}")
    print(f"memory of the node {before:.0f} -> {after:.0f} MB; {len(report.findings)} findings")
    return 1 if report.findings else 0


def _lies(count: int, first_seed: int) -> int:
    report = peers.campaign(count=count, first_seed=first_seed)
    for finding in report.findings:
        print(f"FOUND {finding}\n")
    print(f"{report.lies} lies in {report.seconds:.0f} s; alarms {dict(report.kinds)}")
    print(f"{len(report.findings)} findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
