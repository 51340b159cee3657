"""A rebuilt node takes the place of a lost one; `tests/recovery/test_rebirth.py` has the rest."""

from pathlib import Path

import pytest

from exchange.coordinator.rebirth import replace
from exchange.domain.units import Epoch, NodeId
from exchange.store.directory import Directory
from exchange.store.errors import DirectoryUnusable
from exchange.store.frames import Identity


def test_an_empty_registry_learns_it_from_the_nodes(tmp_path: Path) -> None:
    """C2."""
    with Directory.lock(tmp_path) as directory:
        directory.create(Identity("coordinator", NodeId(0), bytes(16)))

    nonce = b"n" * 16
    assert not replace(tmp_path, cluster="c", node_id=NodeId(1), nonce=nonce, epoch=Epoch(2))


def test_a_new_directory_is_refused(tmp_path: Path) -> None:
    """W6: nothing is made where nothing was."""
    with pytest.raises(DirectoryUnusable):
        replace(tmp_path, cluster="c", node_id=NodeId(1), nonce=bytes(16), epoch=Epoch(1))
