"""Figures of nodes and of the gateway itself, as Prometheus reads them."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exchange.gateway.metrics import METRICS, REQUESTS, Counts, exposition
from exchange.process.limits import Guard, Limits
from exchange.wire.metrics import Family, NodeMetrics, Sample


def told(node_id: int, forces: float) -> NodeMetrics:
    buckets = [Sample(1, {"le": "0.5"}, "_bucket"), Sample(2, {"le": "+Inf"}, "_bucket")]
    return NodeMetrics(
        node_id,
        [
            Family("exchange_forces_total", "counter", "Forced writes.", [Sample(forces)]),
            Family(
                "exchange_force_seconds",
                "histogram",
                "How long.",
                [*buckets, Sample(0.7, suffix="_sum"), Sample(2, suffix="_count")],
            ),
            Family("exchange_peer_orders", "gauge", "Of a peer.", [Sample(4, {"peer": "9"})]),
        ],
    )


def test_each_figure_names_its_node() -> None:
    """Issue, item 5: one gateway before a cluster tells of all nodes."""
    text = exposition({1: told(1, 3), 2: told(2, 5), 3: None}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}

    forces = families["exchange_forces"]
    assert [(sample.labels, sample.value) for sample in forces.samples] == [
        ({"node": "1"}, 3),
        ({"node": "2"}, 5),
    ]
    assert (forces.type, families["exchange_force_seconds"].type) == ("counter", "histogram")
    assert families["exchange_peer_orders"].samples[0].labels == {"node": "1", "peer": "9"}
    up = families["exchange_node_up"].samples
    assert [sample.value for sample in up] == [1, 1, 0]


def test_every_name_stands_once() -> None:
    """Prometheus refuses a text with two families of one name."""
    text = exposition({1: told(1, 3), 2: told(2, 5)}).decode()

    headings = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(headings) == len(set(headings)) == 4


def test_a_gateway_tells_what_it_has_answered() -> None:
    """Its own figures bear no node."""
    guard = Guard(Limits(connections_max=1), lambda: 0)
    counts = Counts(guard)
    counts.answered.update([200, 200, 404])
    guard.enter("192.0.2.1")
    guard.enter("192.0.2.2")
    text = exposition({}, counts.families()).decode()
    samples = {
        (sample.name, sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    assert samples[REQUESTS, "200"] == 2
    assert samples[REQUESTS, "404"] == 1
    assert samples["exchange_gateway_connections", None] == 1
    assert samples["exchange_gateway_refused_by_limits_total", None] == 1


def test_every_figure_of_a_gateway_is_explained() -> None:
    document = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(exchange_gateway_\w+)` \| (\w+) \| (.*) \|$", document, re.MULTILINE)

    assert {name: (kind, text) for name, kind, text in rows} == METRICS
