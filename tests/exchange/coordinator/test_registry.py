"""The registry is what its records say; `test_core.py` folds those of whole histories."""

import msgspec

from exchange.coordinator.core import NONCE_BYTES
from exchange.coordinator.registry import (
    AccountAllocated,
    ClusterFounded,
    InstrumentListed,
    NodeRegistered,
    NodeRenewed,
    Registry,
    RegistryRecord,
    apply,
)
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import AccountId, Epoch, NodeId, make_id

NONCE = bytes(NONCE_BYTES - 1) + b"1"


def test_each_record_does_what_it_says() -> None:
    """E2."""
    registry = Registry()
    for record in (
        ClusterFounded("c"),
        NodeRegistered(NodeId(1), NONCE, "a:1", Epoch(0), b"", has_started=False),
        AccountAllocated(AccountId(make_id(1, 8))),
        InstrumentListed(plain_ticker("AAPL")),
    ):
        apply(registry, record)
        registry.check()

    assert registry.cluster == "c"
    assert registry.nodes[NodeId(1)].account_number == 8
    assert registry.by_nonce == {NONCE: 1}
    assert list(registry.instruments) == ["AAPL"]


def test_records_survive_the_codec() -> None:
    """W2: every record is read back as it was written."""
    records: list[RegistryRecord] = [
        ClusterFounded("c"),
        NodeRegistered(NodeId(1), NONCE, "a:1", Epoch(0), b"", has_started=False),
        NodeRenewed(NodeId(1), NONCE, "a:1", Epoch(2), b"boot", 7, has_started=True),
        AccountAllocated(AccountId(make_id(1, 8))),
        InstrumentListed(plain_ticker("AAPL")),
    ]
    data = msgspec.msgpack.encode(records)

    assert msgspec.msgpack.decode(data, type=list[RegistryRecord]) == records
