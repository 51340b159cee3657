"""What `node.metrics` answers: families of figures that explain themselves.

    {"node_id": 1, "families": [{"name": "exchange_forces_total", "kind": "counter",
     "help": "...", "samples": [{"value": 12}]}, ...]}

A sample of a histogram has a `suffix` and, for a bucket, the label `le`; buckets are summed up
from the smallest, as Prometheus has them.  Whoever asks needs to know no name beforehand.
"""

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure."""

    value: float
    labels: dict[str, str] = {}
    suffix: str = ""  # of a histogram: _bucket, _sum, _count


class Family(msgspec.Struct, frozen=True):
    """A figure's name and meaning, and its samples."""

    name: str
    kind: Kind
    help: str
    samples: list[Sample]


class NodeMetrics(msgspec.Struct, frozen=True):
    """All figures of one node."""

    node_id: int
    families: list[Family]
