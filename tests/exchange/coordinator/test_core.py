"""The registry keeps ids, accounts and listings apart for ever.  Docstrings cite the rule."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.coordinator import core
from exchange.coordinator.core import Decision, KnownNode, Registration
from exchange.coordinator.registry import (
    AccountAllocated,
    InstrumentListed,
    Registry,
    RegistryRecord,
    apply,
)
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import NODE_MAX, AccountId, Asset, Epoch, NodeId, Symbol, make_id
from exchange.engine.effects import Refused

EUR = Asset("EUR")


def nonce(number: int) -> bytes:
    return number.to_bytes(core.NONCE_BYTES, "big")


def a_registration(
    number: int = 1, *, node_id: int | None = None, epoch: int = 0, accounts: int = 0
) -> Registration:
    return Registration(
        nonce(number),
        f"127.0.0.1:{7000 + number}",
        node_id=None if node_id is None else NodeId(node_id),
        account_number=accounts,
        epoch=Epoch(epoch),
        boot_id=f"boot-{epoch}".encode() if epoch else b"",
    )


def take(registry: Registry, decision: Decision | Refused) -> NodeId:
    assert isinstance(decision, Decision), decision
    for record in decision.records:
        apply(registry, record)
    registry.check()
    return decision.node_id


def register(registry: Registry, asked: Registration) -> NodeId:
    return take(registry, core.decide_registration(registry, asked, fresh_cluster="fresh"))


def refused(registry: Registry, asked: Registration) -> str:
    decision = core.decide_registration(registry, asked, fresh_cluster="fresh")
    assert isinstance(decision, Refused)
    return decision.code


def allocate(registry: Registry, *live: int) -> AccountId:
    record = core.decide_account(registry, [NodeId(node) for node in live])
    assert isinstance(record, AccountAllocated), record
    apply(registry, record)
    registry.check()
    return record.account


def list_instrument(registry: Registry, instrument: Instrument) -> str:
    """Return the code of the refusal; empty if it is listed."""
    record = core.decide_listing(registry, instrument)
    if isinstance(record, InstrumentListed):
        apply(registry, record)
        registry.check()
    return record.code if isinstance(record, Refused) else ""


def test_first_node_founds_the_cluster_and_ids_rise_from_one() -> None:
    """C1."""
    registry = Registry()

    assert [register(registry, a_registration(number)) for number in (1, 2, 3)] == [1, 2, 3]
    assert registry.cluster == "fresh"


def test_registration_asked_again_gets_the_same_id_and_no_record() -> None:
    """C2: the first answer was lost."""
    registry = Registry()
    first = register(registry, a_registration(1))
    again = core.decide_registration(registry, a_registration(1), fresh_cluster="other")

    assert again == Decision(records=(), node_id=first)


def test_node_that_lost_its_state_is_not_taken_for_a_new_one() -> None:
    """W4, faults 2.4."""
    registry = Registry()
    node = register(registry, a_registration(1))
    register(registry, a_registration(1, node_id=node, epoch=1))

    assert refused(registry, a_registration(1)) == "state_lost"


@pytest.mark.parametrize(
    ("epoch", "boot_id", "code"),
    [(4, b"boot-4", "old_epoch"), (5, b"another", "other_boot"), (5, b"boot-5", "")],
)
def test_incarnations_are_compared_and_set(epoch: int, boot_id: bytes, code: str) -> None:
    """C3."""
    registry = Registry()
    node = register(registry, a_registration(1))
    register(registry, a_registration(1, node_id=node, epoch=5))
    asked = msgspec.structs.replace(
        a_registration(1, node_id=node), epoch=Epoch(epoch), boot_id=boot_id
    )

    assert code == (refused(registry, asked) if code else "")
    assert registry.nodes[node].epoch == 5


def test_id_of_a_node_born_with_another_nonce_is_refused() -> None:
    """C3: two nodes given each other's directories."""
    registry = Registry()
    register(registry, a_registration(1))
    register(registry, a_registration(2))

    assert refused(registry, a_registration(9, node_id=1, epoch=1)) == "other_nonce"
    assert refused(registry, a_registration(1, node_id=2, epoch=1)) == "other_id"


def test_node_of_another_cluster_is_refused() -> None:
    """C3."""
    registry = Registry()
    register(registry, a_registration(1))
    foreign = msgspec.structs.replace(a_registration(2), cluster="elsewhere")

    assert refused(registry, foreign) == "other_cluster"


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": b"short"},
        {"address": ""},
        {"address": "x" * 300},
        {"node_id": NODE_MAX + 1, "epoch": 1},
        {"node_id": 1},
        {"account_number": 1 << 60},
    ],
)
def test_malformed_registration_is_refused(change: dict[str, object]) -> None:
    """C2."""
    asked = msgspec.structs.replace(a_registration(1), **change)

    assert refused(Registry(), asked) == "malformed"


def test_node_ids_end_where_packed_ids_end() -> None:
    """C1: 8,191 nodes."""
    registry = Registry()
    register(registry, a_registration(1, node_id=NODE_MAX, epoch=1))

    assert refused(registry, a_registration(2)) == "cluster_full"


def test_empty_registry_learns_its_cluster_from_the_nodes_that_come_back() -> None:
    """C2: node 2 tells of node 1 and of what it trades; node 1 keeps its id and its accounts."""
    registry = Registry()
    asked = msgspec.structs.replace(
        a_registration(2, node_id=2, epoch=7, accounts=40),
        cluster="old",
        nodes=(KnownNode(NodeId(1), nonce(1), "127.0.0.1:7001"),),
        instruments=(plain_ticker("AAPL"),),
    )
    register(registry, asked)
    newcomer = register(registry, a_registration(5))
    register(registry, a_registration(1, node_id=1, epoch=3, accounts=9))

    assert registry.cluster == "old"
    assert newcomer == 3
    assert registry.instruments == {"AAPL": plain_ticker("AAPL")}
    assert [allocate(registry, 1), allocate(registry, 2)] == [make_id(1, 10), make_id(2, 41)]


def test_node_that_was_only_heard_of_can_be_located() -> None:
    """C1, C2."""
    registry = Registry()
    known = (KnownNode(NodeId(1), b"", "127.0.0.1:7001"),)
    register(registry, msgspec.structs.replace(a_registration(2, node_id=2, epoch=1), nodes=known))

    assert core.locate(registry, AccountId(make_id(1, 99))) == "127.0.0.1:7001"
    assert register(registry, a_registration(1, node_id=1, epoch=1)) == 1


def test_contradictions_between_nodes_are_told_and_change_nothing() -> None:
    """C2: neither a node id nor a listing is ever taken over."""
    registry = Registry()
    register(registry, a_registration(1))
    list_instrument(registry, plain_ticker("AAPL"))
    other = msgspec.structs.replace(plain_ticker("AAPL"), tick_size="0.05")
    asked = msgspec.structs.replace(
        a_registration(2, node_id=2, epoch=1),
        nodes=(
            KnownNode(NodeId(1), nonce(77), "evil:1"),
            KnownNode(NodeId(9), nonce(2), "evil:1"),
            KnownNode(NodeId(0), nonce(8), "evil:1"),
        ),
        instruments=(other,),
    )
    decision = core.decide_registration(registry, asked, fresh_cluster="")
    take(registry, decision)

    assert isinstance(decision, Decision)
    assert len(decision.alarms) == 4
    assert sorted(registry.nodes) == [1, 2]
    assert registry.instruments[Symbol("AAPL")] == plain_ticker("AAPL")


def test_accounts_go_to_the_live_node_with_the_fewest() -> None:
    """C1."""
    registry = Registry()
    register(registry, a_registration(1, node_id=1, epoch=1, accounts=2))
    register(registry, a_registration(2))
    register(registry, a_registration(3))

    given_out = [allocate(registry, 1, 2) for _ in range(5)]

    assert given_out == [
        make_id(node, number) for node, number in [(2, 1), (2, 2), (1, 3), (2, 3), (1, 4)]
    ]


def test_no_account_without_a_live_node() -> None:
    """C1."""
    registry = Registry()
    register(registry, a_registration(1))

    refusal = core.decide_account(registry, [])
    assert isinstance(refusal, Refused)
    assert refusal.code == "no_live_node"


def test_account_number_is_never_given_out_twice() -> None:
    """C1: neither after the node tells fewer, nor after it tells more."""
    registry = Registry()
    register(registry, a_registration(1))
    given_out = [allocate(registry, 1) for _ in range(3)]
    register(registry, a_registration(1, node_id=1, epoch=1, accounts=1))
    given_out.append(allocate(registry, 1))
    register(registry, a_registration(1, node_id=1, epoch=2, accounts=8))
    given_out.append(allocate(registry, 1))

    assert given_out == [make_id(1, number) for number in (1, 2, 3, 4, 9)]


def test_unknown_accounts_are_refused() -> None:
    """C1."""
    registry = Registry()
    register(registry, a_registration(1, node_id=1, epoch=1, accounts=3))

    assert core.locate(registry, AccountId(make_id(1, 3))) == "127.0.0.1:7001"
    for account in (make_id(1, 4), make_id(2, 1), make_id(1, 0)):
        assert isinstance(core.locate(registry, AccountId(account)), Refused)


def test_identical_relisting_is_fine_and_a_different_one_is_refused() -> None:
    """M2."""
    registry = Registry()
    listed = Instrument(Symbol("AAPL/EUR"), Asset("AAPL"), EUR, "0.01", "1", 0, 2)

    assert list_instrument(registry, listed) == ""
    assert core.decide_listing(registry, listed) is None
    changed = msgspec.structs.replace(listed, tick_size="0.05")
    assert list_instrument(registry, changed) == "already_listed"


def test_decimals_of_an_asset_are_fixed_at_its_first_listing() -> None:
    """M2: USD has two from the start."""
    registry = Registry()
    list_instrument(registry, Instrument(Symbol("BTC/EUR"), Asset("BTC"), EUR, "1", "1", 8, 2))
    cents = Instrument(Symbol("X/USD"), Asset("X"), Asset("USD"), "1", "1", 0, 3)

    assert list_instrument(registry, cents) == "decimals_fixed"
    assert list_instrument(registry, plain_ticker("BTC")) == "decimals_fixed"


def test_listing_whose_tick_times_lot_is_not_whole_is_refused() -> None:
    """M2."""
    odd = Instrument(Symbol("X/USD"), Asset("X"), Asset("USD"), "0.001", "1", 0, 2)

    assert list_instrument(Registry(), odd) == "bad_instrument"


@pytest.mark.parametrize(
    ("symbol", "is_strict", "code"),
    [
        ("MSFT", False, ""),
        ("MSFT", True, "unknown_instrument"),
        ("AAPL", True, ""),
        ("aapl\n", False, "invalid_symbol"),
        ("USD", False, "bad_instrument"),
    ],
)
def test_unknown_ticker_is_listed_by_default_unless_listing_is_strict(
    symbol: str, is_strict: bool, code: str
) -> None:
    """M2."""
    registry = Registry()
    list_instrument(registry, plain_ticker("AAPL"))

    outcome = core.decide_ensure(registry, symbol, is_strict=is_strict)
    assert code == (outcome.code if isinstance(outcome, Refused) else "")
    assert isinstance(outcome, InstrumentListed) == (symbol == "MSFT" and not is_strict)


def test_flood_of_tickers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2."""
    monkeypatch.setattr(core, "INSTRUMENTS_MAX", 1)
    registry = Registry()
    list_instrument(registry, plain_ticker("AAPL"))

    assert list_instrument(registry, plain_ticker("MSFT")) == "too_many_instruments"


steps = st.lists(
    st.tuples(st.sampled_from(["new", "again", "account", "list"]), st.integers(1, 5)), max_size=40
)


@given(steps)
def test_folding_the_records_rebuilds_the_registry(steps: list[tuple[str, int]]) -> None:
    """E2, C2."""
    live, log = Registry(), list[RegistryRecord]()
    for action, number in steps:
        for record in _records(live, action, number):
            apply(live, record)
            log.append(record)
        live.check()

    folded = Registry()
    for record in log:
        apply(folded, record)
    assert vars(folded) == vars(live)


def _records(registry: Registry, action: str, number: int) -> list[RegistryRecord]:
    outcome: object
    if action in ("new", "again"):
        node_id = registry.by_nonce.get(nonce(number)) if action == "again" else None
        asked = a_registration(number, node_id=node_id, epoch=number if node_id else 0)
        outcome = core.decide_registration(registry, asked, fresh_cluster="fresh")
    elif action == "account":
        outcome = core.decide_account(registry, list(registry.nodes)[:number])
    else:
        outcome = core.decide_listing(registry, plain_ticker(f"T{number}"))
    if isinstance(outcome, Decision):
        return list(outcome.records)
    return [outcome] if isinstance(outcome, AccountAllocated | InstrumentListed) else []
