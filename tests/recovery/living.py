"""What living nodes of a test's cluster show of another one's orders, as the tool reads it."""

from collections.abc import Iterable

import msgspec

from exchange.client.replicas import Replica, Shown
from exchange.domain.units import NodeId
from exchange.engine.effects import ReplicaAnswer
from exchange.engine.inputs import ReplicaQuery
from exchange.engine.queries import answer_query
from exchange.wire.values import replica_value
from tests.recovery.cluster import CLUSTER, Cluster

EVERYTHING = 1 << 30


def shown_by(cluster: Cluster, lost: int, by: Iterable[int] | None = None) -> list[Shown]:
    """Ask the nodes that live, or some of them."""
    asked = by if by is not None else [node for node in cluster.nodes if node != lost]
    return [Shown(node, CLUSTER, _replica(cluster, node, lost)) for node in asked]


def _replica(cluster: Cluster, by: int, lost: int) -> Replica:
    engine = cluster.nodes[NodeId(by)].engine
    assert engine is not None, "the node is up"
    answer = answer_query(engine.soft, ReplicaQuery(NodeId(lost), 0, EVERYTHING))
    assert isinstance(answer, ReplicaAnswer), "the node is known"
    return msgspec.json.decode(replica_value(answer), type=Replica)
