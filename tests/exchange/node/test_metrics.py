"""What a node counts, and what it writes down when it is asked."""

import re
from pathlib import Path

from exchange.domain.orders import Side
from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.node.metrics import METRICS, Forces, Histogram, oldest_in_doubt_s
from exchange.store.store import Write
from tests.exchange.node.processes import a_node
from tests.support.engines import START_US, Engines

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_histogram_sums_up_from_the_smallest_bucket() -> None:
    """Issue, item 5: force latency, batch sizes."""
    histogram = Histogram((1, 10))
    for value in (1, 2, 3, 50):
        histogram.observe(value)

    found = [
        (sample.suffix, sample.labels.get("le"), sample.value) for sample in histogram.samples()
    ]

    assert found == [
        ("_bucket", "1", 1),
        ("_bucket", "10", 3),
        ("_bucket", "+Inf", 4),
        ("_sum", None, 56),
        ("_count", None, 4),
    ]


def test_a_force_is_timed_and_its_records_are_counted() -> None:
    """W2: what one write cost, and how many records shared it."""
    seconds = iter([0.0, 10.0, 10.02])
    forces = Forces(lambda: next(seconds))
    proof = Proof(Lsn(7), b"")

    assert forces.timed(lambda write: write.proof)(Write([], Lsn(2), proof)) is proof

    assert (forces.seconds.count, forces.records.count) == (1, 1)
    assert [sample.value for sample in forces.records.samples()][-2:] == [5, 1]
    assert forces.checkpoints == 0


def test_a_force_that_fails_is_not_counted() -> None:
    """E4: its outcome is unknown."""
    forces = Forces(lambda: 0.0)

    def commit(_write: Write) -> Proof:
        raise OSError("no room")

    try:
        forces.timed(commit)(Write([], Lsn(0), Proof(Lsn(1), b"")))
    except OSError:
        assert forces.seconds.count == 0


def test_the_oldest_offer_without_an_answer_has_an_age() -> None:
    """S4: no timeout ends doubt, so an operator must see it grow."""
    engines = Engines(2)
    engines.sell(2, 100, 5)
    for quantity in (2, 1):
        engines.step(1, engines.place(1, Side.BUY, 100, quantity))
    offered_us = START_US + engines.now_us - 1_000

    assert oldest_in_doubt_s(engines.state(1), offered_us + 90_000_000) == 90
    assert oldest_in_doubt_s(engines.state(1), offered_us - 5) == 0, "a clock that went back"
    engines.settle()
    assert oldest_in_doubt_s(engines.state(1), offered_us + 90_000_000) == 0


def test_every_metric_is_explained() -> None:
    """Issue, item 5: a reference."""
    rows = re.findall(
        r"^\| `(exchange_\w+)` \| (\w+) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    own = {name: (kind, text) for name, kind, text in rows if name in METRICS}

    assert own == METRICS


def test_node_tells_all_its_figures(tmp_path: Path) -> None:
    """Interfaces 1: a verb of its own, open as `node.status` is."""
    with a_node(tmp_path / "node") as node:
        account = node.open_account()
        with node.client(account) as client:
            assert client.ask({"type": "C stock", "value": {"ticker": "A", "quantity": 3}}) == "ok"
            answer = client.ask({"id": 1, "type": "node.metrics"})

    families = {family["name"]: family for family in answer["value"]["families"]}
    assert (answer["type"], answer["value"]["node_id"]) == ("metrics", 1)
    assert list(families) == list(METRICS)
    assert families["exchange_forces_total"]["samples"][0]["value"] >= 2
    assert families["exchange_map_used_bytes"]["samples"][0]["value"] > 0
    assert families["exchange_offer_in_doubt_age_seconds"]["samples"] == [{"value": 0.0}]
    count = families["exchange_force_seconds"]["samples"][-1]
    assert (count["suffix"], count["value"] >= 2) == ("_count", True)
