"""Figures of nodes, as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from exchange.gateway.metrics import exposition
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
