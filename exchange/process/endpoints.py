"""`endpoints.json` in a data directory: where a server that is ready can be reached (interfaces 4).

Written when it serves, removed at a clean stop; whoever finds one of a process that is dead
looks at the pid.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from exchange.process.files import write_file

NAME = "endpoints.json"


class Endpoints(msgspec.Struct, frozen=True, omit_defaults=True):
    """Addresses are `host:port`; those that do not apply are left out."""

    pid: int = msgspec.field(default_factory=os.getpid)
    node_id: int = 0
    epoch: int = 0
    tcp: str = ""
    https: str = ""
    coordinator: str = ""
    is_tls: bool = False


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Tell whoever looks where this process is; raises OSError."""
    write_file(data_dir / NAME, msgspec.json.encode(endpoints) + b"\n")


def read_endpoints(data_dir: Path) -> Endpoints:
    """Read what a server has said; raises OSError, or msgspec's errors if it is not that."""
    return msgspec.json.decode((data_dir / NAME).read_bytes(), type=Endpoints)


def remove_endpoints(data_dir: Path) -> None:
    """Say that nobody serves here; a disk that cannot be written to ends nobody with an error."""
    with suppress(OSError):
        (data_dir / NAME).unlink()
