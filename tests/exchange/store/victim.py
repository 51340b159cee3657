"""A process that uses a data directory until it is killed: `python -m ...victim DIR FRAMES`.

It says what it would acknowledge, line by line: `durable LSN DIGEST`, `epoch N`.
"""

import sys
from pathlib import Path

from exchange.domain.units import Micros
from exchange.store.directory import Directory
from exchange.store.store import Limits
from tests.exchange.store.scene import IDENTITY, deposits, force, open_store

LIMITS = Limits(tail=30, accounts=2)  # a checkpoint every third frame


def main(path: Path, frames: int) -> None:
    """Lock, create, open, boot; force frames, now and then with a checkpoint."""
    with Directory.lock(path) as directory:
        if directory.identity() is None:
            directory.create(IDENTITY)
        disk = directory.open()
        store = open_store(disk, LIMITS)
        say(f"epoch {store.boot(boot_id=bytes(8), ts=Micros(1))}")
        for _ in range(frames):
            log = deposits(12, accounts=4)
            is_new = not store.state.scalars.accounts
            proof = force(store, log if is_new else log[4:]).proof
            say(f"durable {proof.lsn} {proof.digest.hex()}")
        disk.close()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
