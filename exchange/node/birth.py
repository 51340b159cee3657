"""How a node comes to be: a birth nonce, an id from the coordinator, a store (C2, C6).

The nonce is on disk before anyone hears of it: a node killed anywhere in between asks again
with the same nonce and gets the same id, instead of leaving a dead one behind.
"""

import os
from pathlib import Path

from exchange.coordinator.member import Dial, register_new
from exchange.engine.proofs import SECRET_SIZE
from exchange.process.addresses import Address
from exchange.process.files import write_file
from exchange.store.crash import crash_point
from exchange.store.directory import Directory
from exchange.store.frames import Identity

NONCE_SIZE = 16  # bytes
BIRTH = "birth"  # the nonce, until the store has it


async def find_identity(
    directory: Directory, *, coordinator: str, address: Address, dial: Dial | None = None
) -> Identity:
    """Return whose data this is; a new directory gets an identity and a store.

    Raises CoordinatorUnreachable (exit code 3) if it is new and nobody answers.
    """
    path = directory.path / BIRTH
    known = directory.identity()
    if known is not None:
        path.unlink(missing_ok=True)  # of a crash behind `create`, or of a node that was replaced
        return known
    nonce = birth_nonce(path)
    crash_point("birth_nonce_forced_unregistered")
    told = await register_new(coordinator, nonce, str(address), dial=dial)
    crash_point("node_registered_store_absent")
    identity = Identity(told.cluster, told.node_id, nonce, os.urandom(SECRET_SIZE))
    directory.create(identity)
    path.unlink()
    return identity


def birth_nonce(path: Path) -> bytes:
    """Return the birth nonce, made at the first call."""
    try:
        nonce = path.read_bytes()
    except FileNotFoundError:
        nonce = b""
    if len(nonce) != NONCE_SIZE:
        nonce = os.urandom(NONCE_SIZE)
        write_file(path, nonce)
    return nonce
