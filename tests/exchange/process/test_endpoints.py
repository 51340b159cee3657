"""Where a server is can be read beside its data, as long as it serves."""

import json
import os
from pathlib import Path

import pytest

from exchange.process.endpoints import (
    NAME,
    Endpoints,
    read_endpoints,
    remove_endpoints,
    write_endpoints,
)


def test_what_was_written_is_read_until_it_is_removed(tmp_path: Path) -> None:
    """Interfaces section 4."""
    told = Endpoints(node_id=3, epoch=2, tcp="127.0.0.1:7400")
    write_endpoints(tmp_path, told)

    assert read_endpoints(tmp_path) == told
    remove_endpoints(tmp_path)
    remove_endpoints(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_endpoints(tmp_path)


def test_what_does_not_apply_is_left_out(tmp_path: Path) -> None:
    """Interfaces section 4: and the pid is always there."""
    write_endpoints(tmp_path, Endpoints(coordinator="127.0.0.1:7401"))

    text = (tmp_path / NAME).read_text()
    assert json.loads(text) == {"pid": os.getpid(), "coordinator": "127.0.0.1:7401"}


def test_what_cannot_be_removed_is_left(tmp_path: Path) -> None:
    """Faults 3: a process that has served ends without an error, whatever its disk does."""
    (tmp_path / "file").touch()

    remove_endpoints(tmp_path / "file")
    remove_endpoints(tmp_path / "absent")
