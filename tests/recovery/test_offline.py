"""A directory is written only while nobody else uses it (W6)."""

from pathlib import Path

import pytest

from exchange.domain.units import Micros, Units
from exchange.engine.records import Transferred
from exchange.store.errors import DataDirInUse
from recovery.offline import NotOfNode, OfflineNode, now
from recovery.verification import verify
from tests.recovery.cluster import USD, Cluster, account_of


def test_a_running_node_is_left_alone(market: Cluster) -> None:
    """W6."""
    with pytest.raises(DataDirInUse):
        OfflineNode.open(market.paths[0])


def test_records_are_one_frame_more(traded: Cluster) -> None:
    """W2: an ordinary frame, in the chain."""
    with OfflineNode.open(traded.paths[0]) as node:
        before = node.proof.lsn
        record = Transferred(account_of(1), USD, Units(5), Micros(now()))
        assert node.append([record], ts=now()).lsn == before + 1
        node.checkpoint()
    traded.nodes[1].start()  # type: ignore[index]
    traded.kill_all()

    assert verify(traded.paths).problems == []


def test_a_path_without_data_is_not_made_into_one(tmp_path: Path) -> None:
    """W4: nothing registers as a new node."""
    with pytest.raises(NotOfNode):
        OfflineNode.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
