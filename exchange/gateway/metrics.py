"""What nodes measure, and what a gateway counts of its own, as text for Prometheus.

A figure of a node has the label `node`, one of the gateway has not.  `docs/metrics.md` has a row
for each of `METRICS`, and a test compares them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exchange.gateway.feed.hub import FeedHub
from exchange.process.limits import Guard
from exchange.wire.metrics import Family, Kind, NodeMetrics, Sample

UP = "exchange_node_up"
REQUESTS = "exchange_gateway_requests_total"
METRICS: dict[str, tuple[Kind, str]] = {
    REQUESTS: ("counter", "HTTP requests answered, by status."),
    "exchange_gateway_connections": ("gauge", "Open connections."),
    "exchange_gateway_refused_by_limits_total": (
        "counter",
        "Requests and connections over a limit.",
    ),
    "exchange_gateway_subscribers": ("gauge", "WebSockets that follow something."),
    "exchange_gateway_feed_frames_total": ("counter", "Frames made of what nodes told."),
    "exchange_gateway_feed_sends_total": ("counter", "Frames sent, to each subscriber."),
}


class Counts:
    """What a gateway counts, or keeps anyway."""

    def __init__(self, guard: Guard, feed: FeedHub | None = None) -> None:
        self.answered: Counter[int] = Counter()  # requests, by status
        self._guard = guard
        self._feed = feed

    def families(self) -> list[Family]:
        """Return all figures."""
        feed = self._feed
        values = {
            "exchange_gateway_connections": self._guard.count,
            "exchange_gateway_refused_by_limits_total": self._guard.refused,
            "exchange_gateway_subscribers": len(feed.subscribers) if feed else 0,
            "exchange_gateway_feed_frames_total": feed.frames if feed else 0,
            "exchange_gateway_feed_sends_total": feed.sends if feed else 0,
        }
        found = {name: [Sample(value)] for name, value in values.items()}
        found[REQUESTS] = [
            Sample(count, {"status": str(status)})
            for status, count in sorted(self.answered.items())
        ]
        return [Family(name, *METRICS[name], found[name]) for name in METRICS]


def exposition(nodes: Mapping[int, NodeMetrics | None], own: Iterable[Family] = ()) -> bytes:
    """Write down what nodes told, None of one that did not answer, and the gateway's own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(nodes, own))
    return generate_latest(registry)


class _Told(Collector):
    """The figures of all nodes and of the gateway, gathered by name."""

    def __init__(self, nodes: Mapping[int, NodeMetrics | None], own: Iterable[Family]) -> None:
        self._nodes = nodes
        self._own = own

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
                _add(found, family, {"node": str(node_id)})
        for family in self._own:
            _add(found, family, {})
        return found.values()


def _add(found: dict[str, Metric], family: Family, labels: Mapping[str, str]) -> None:
    name = family.name.removesuffix("_total")
    metric = found.setdefault(name, Metric(name, family.help, family.kind))
    for sample in family.samples:
        metric.add_sample(family.name + sample.suffix, {**labels, **sample.labels}, sample.value)
