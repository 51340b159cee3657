"""Halves are plain values: they travel between processes."""

import pickle

from recovery.audit.halves import Halves
from recovery.audit.reader import audit_log
from recovery.directory import data_file
from tests.recovery.cluster import Cluster


def test_halves_travel_between_processes(traded: Cluster) -> None:
    """Large logs are audited in processes of their own."""
    log = audit_log(data_file(traded.paths[0]))

    assert pickle.loads(pickle.dumps(log)) == log
    assert audit_log(data_file(traded.paths[0]), has_halves=False).halves == Halves.none(1)
