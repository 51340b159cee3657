"""What nodes measure, as text for Prometheus: each figure with the label `node`."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exchange.wire.metrics import NodeMetrics

UP = "exchange_node_up"


def exposition(nodes: Mapping[int, NodeMetrics | None]) -> bytes:
    """Write down what nodes told; None is of a node that did not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(nodes))
    return generate_latest(registry)


class _Told(Collector):
    """The figures of all nodes, gathered by name."""

    def __init__(self, nodes: Mapping[int, NodeMetrics | None]) -> None:
        self._nodes = nodes

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: nodes of other versions may tell other figures."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return a metric per name."""
        up = Metric(UP, "1 if the node answered the gateway.", "gauge")
        found = {UP: up}
        for node_id, told in sorted(self._nodes.items()):
            up.add_sample(UP, {"node": str(node_id)}, float(told is not None))
            for family in told.families if told is not None else ():
                name = family.name.removesuffix("_total")
                metric = found.setdefault(name, Metric(name, family.help, family.kind))
                for sample in family.samples:
                    labels = {"node": str(node_id), **sample.labels}
                    metric.add_sample(family.name + sample.suffix, labels, sample.value)
        return found.values()
