"""Figures as they go over the wire."""

import msgspec

from exchange.wire.metrics import Family, NodeMetrics, Sample


def test_figures_come_back_as_they_were_sent() -> None:
    """Issue, item 5: Prometheus metrics."""
    bucket = Sample(3.0, {"le": "0.5"}, "_bucket")
    told = NodeMetrics(2, [Family("a_seconds", "histogram", "Some.", [bucket, Sample(0.5)])])

    line = msgspec.json.encode(told)

    assert msgspec.json.decode(line, type=NodeMetrics) == told
    assert line.count(b"labels") == 1
