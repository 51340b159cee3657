"""The auditor finds every seeded fault from the logs alone, and nothing in honest logs."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import exchange.engine.apply as apply_module
import exchange.engine.core as core_module
import exchange.engine.engine as engine_module
import exchange.engine.ledger as ledger_module
import exchange.engine.matching as matching_module
import exchange.engine.settlement as settlement_module
from exchange.domain.orders import SelfTrade, Side, TimeInForce
from exchange.domain.units import Asset, Lots, NodeId, OrderId, Ticks
from exchange.engine import inputs
from exchange.engine.records import (
    LocalTrade,
    OfferId,
    OrderPlaced,
    TradeAccepted,
    TradeDeclined,
    TradeSettled,
    Transferred,
)
from exchange.store.store import Limits
from recovery.audit.findings import Finding
from recovery.audit.join import join
from recovery.audit.reader import add_up_tables, audit_log, compare
from recovery.pages import PageFile
from tests.recovery.cluster import Cluster, Node, a_market, account_of
from tests.recovery.logs import Edit, append, change, drop_last_of, records_of, rewrite
from tests.recovery.test_chain import edit_frame, flip

Patch = pytest.MonkeyPatch


def audit(paths: Sequence[Path]) -> list[Finding]:
    """Audit directories as `verify` does."""
    files = [path / "store" / "data.mdb" for path in paths]
    logs = [audit_log(file) for file in files]
    findings = [finding for log in logs for finding in log.findings]
    for file, log in zip(files, logs, strict=True):
        with PageFile(file) as pages:
            findings += compare(pages, log, add_up_tables(pages))
    return findings + join(logs, {log.node: False for log in logs})


def codes(paths: Sequence[Path]) -> set[str]:
    return {finding.code for finding in audit(paths)}


def trade_locally(cluster: Cluster) -> None:
    """Let the two accounts of node 1 trade 4 of 10 lots at 100, the taker's limit is 101."""
    cluster.place(account_of(1, 1), Side.SELL, 10, 100)
    cluster.settle()
    cluster.place(account_of(1, 2), Side.BUY, 4, 101)
    cluster.settle()


def trade_across(cluster: Cluster) -> None:
    """Let node 2 take 4 of node 1's 10 lots."""
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.settle()
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.settle()


def run_wild(cluster: Cluster, seed: int, steps: int) -> None:
    """Trade, cancel, amend, lose links and crash, all at random."""
    source = random.Random(seed)
    for step in range(steps):
        node_id = source.choice(sorted(cluster.nodes))
        node = cluster.nodes[node_id]
        account = account_of(node_id, source.choice([1, 2]))
        assert node.engine is not None, "the node is up"
        live = [order for order in node.engine.state.orders.values() if order.account == account]
        what = source.random()
        if what < 0.7 or not live:
            cluster.place(
                account,
                source.choice(list(Side)),
                source.randint(1, 20),
                source.randint(95, 105),
                client_order_id=f"c{step}" if source.random() < 0.3 else "",
                time_in_force=source.choice(list(TimeInForce)),
                self_trade=source.choice(list(SelfTrade)),
            )
        elif what < 0.85:
            order = source.choice(live)
            node.turn([inputs.CancelOrder(cluster.ticket(), account, order.order_id)])
        else:
            order = source.choice(live)
            price = Ticks(source.randint(95, 105))
            total = Lots(max(order.filled, 1) + source.randint(0, 10))
            amend = inputs.AmendOrder(cluster.ticket(), account, order.order_id, price, total)
            node.turn([amend])
        for _ in range(source.randint(0, 4)):
            if cluster.wire:
                cluster.deliver(*source.choice(sorted(cluster.wire)))
        if source.random() < 0.03:
            cluster.settle()
        if source.random() < 0.02:
            node.kill()
            node.start()
            cluster.link_all()


@pytest.mark.parametrize("seed", range(6))
def test_honest_logs_raise_no_finding(tmp_path: Path, seed: int) -> None:
    """S13: a market of three nodes with crashes, IOC, amendments and self-trades."""
    cluster = a_market(tmp_path, nodes=3, limits=Limits(dirty=40))
    run_wild(cluster, seed, 150)
    if seed % 2:
        cluster.settle()
        for node in cluster.nodes.values():
            node.checkpoint()
    cluster.kill_all()

    assert audit(cluster.paths) == []


# Seeded faults in logs: a record that a faulty engine would have written.


def swap(record: Any) -> Any:  # noqa: ANN401 - any record with these fields
    return msgspec.structs.replace(record, maker=record.taker, taker=record.maker)


def one_seller(record: Any) -> Any:  # noqa: ANN401 - as above
    """Put the first order, which sells for the maker's account, in the place of the taker."""
    return msgspec.structs.replace(record, taker=OrderId((1 << 50) + 1))


LOCAL_FAULTS: list[tuple[str, Edit, str]] = [
    ("swap buyer and seller", change(LocalTrade, swap), "audit_age"),
    ("trade two sellers", change(LocalTrade, one_seller), "audit_sides"),
    ("trade with oneself", change(LocalTrade, one_seller), "audit_self_trade"),
    (
        "trade at the taker's price",
        change(LocalTrade, lambda r: msgspec.structs.replace(r, price=101)),
        "audit_price",
    ),
    (
        "overfill by one",
        change(LocalTrade, lambda r: msgspec.structs.replace(r, quantity=5)),
        "audit_overfill",
    ),
    (
        "re-use a trade id",
        change(LocalTrade, lambda r: msgspec.structs.replace(r, trade_id=(1 << 50) + 1)),
        "audit_number",
    ),
    (
        "trade before the tape begins",
        change(LocalTrade, lambda r: msgspec.structs.replace(r, ts=-1)),
        "audit_tape",
    ),
    ("skip a frame", drop_last_of(LocalTrade), "audit_lsn"),
    (
        "place an order twice under one client order id",
        change(OrderPlaced, lambda r: msgspec.structs.replace(r, client_order_id="first")),
        "audit_client_id",
    ),
    (
        "a stamp from the past",
        change(OrderPlaced, lambda r: msgspec.structs.replace(r, stamp=1 << 13 | 1)),
        "audit_stamp",
    ),
    (
        "spend what is not there",
        change(Transferred, lambda r: msgspec.structs.replace(r, amount=-99_999_999)),
        "audit_overdrawn",
    ),
]


@pytest.mark.parametrize(
    ("edit", "code"), [row[1:] for row in LOCAL_FAULTS], ids=[row[0] for row in LOCAL_FAULTS]
)
def test_a_faulty_record_is_reported(tmp_path: Path, edit: Edit, code: str) -> None:
    """Issue: seeded faults; M1, S1, S2, S9."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1, 1), Side.SELL, 1, 200, client_order_id="first")
    cluster.place(account_of(1, 2), Side.BUY, 1, 50, client_order_id="other")
    trade_locally(cluster)
    cluster.place(account_of(1, 1), Side.SELL, 1, 300)
    cluster.kill_all()
    assert audit(cluster.paths) == []

    rewrite(cluster.paths[0], edit)
    assert code in codes(cluster.paths)


def test_a_younger_order_is_not_served_first(tmp_path: Path) -> None:
    """First in, first out within a level, as far as the owner's log shows it."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1, 1), Side.SELL, 10, 100)
    older = cluster.newest_order(1)
    cluster.place(account_of(1, 1), Side.SELL, 10, 100)
    younger = cluster.newest_order(1)
    cluster.place(account_of(1, 2), Side.BUY, 4, 100)
    cluster.kill_all()
    assert audit(cluster.paths) == []

    rewrite(
        cluster.paths[0], change(LocalTrade, lambda r: msgspec.structs.replace(r, maker=younger))
    )
    (finding,) = audit(cluster.paths)
    assert finding.code == "audit_priority"
    assert str(older & 0xFFFF) in finding.detail


def test_a_skipped_frame_breaks_the_chain(tmp_path: Path) -> None:
    """W4."""
    cluster = a_market(tmp_path)
    cluster.kill_all()
    file = cluster.paths[0] / "store" / "data.mdb"
    edit_frame(cluster.paths[0], 4, flip)

    assert {finding.code for finding in audit_log(file).findings} == {"audit_chain"}


def test_accepting_after_declining_is_reported(tmp_path: Path) -> None:
    """S5: an offer at or below the mark is declined for ever."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.settle()
    maker = cluster.newest_order(1)
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.nodes[NodeId(1)].turn([inputs.CancelOrder(cluster.ticket(), account_of(1), maker)])
    cluster.settle()
    cluster.place(account_of(1), Side.SELL, 10, 200)
    resting = cluster.newest_order(1)
    cluster.kill_all()
    (declined,) = records_of(cluster.paths[0], TradeDeclined)
    assert isinstance(declined, TradeDeclined)
    assert audit(cluster.paths) == []

    accepted = TradeAccepted(
        declined.proposer,
        declined.offer_id,
        declined.trade_id,
        resting,
        OrderId((2 << 50) + 1),
        Lots(4),
        Ticks(200),
        declined.ts,
    )
    rewrite(cluster.paths[0], append(accepted))
    assert {"audit_mark", "audit_halves_differ"} <= codes(cluster.paths)


def test_settling_a_released_offer_is_reported(tmp_path: Path) -> None:
    """S3."""
    cluster = a_market(tmp_path)
    trade_across(cluster)
    cluster.kill_all()
    (settled,) = records_of(cluster.paths[1], TradeSettled)

    rewrite(cluster.paths[1], append(settled))
    assert "audit_no_offer" in codes(cluster.paths)


@pytest.mark.parametrize(
    ("field", "value"), [("price", 99), ("quantity", 5), ("maker", (1 << 50) + 99)]
)
def test_halves_that_differ_are_reported(tmp_path: Path, field: str, value: int) -> None:
    """S13: both halves of a trade have identical terms."""
    cluster = a_market(tmp_path)
    trade_across(cluster)
    cluster.kill_all()

    change_it = change(TradeAccepted, lambda r: msgspec.structs.replace(r, **{field: value}))
    rewrite(cluster.paths[0], change_it)
    found = codes(cluster.paths)
    assert found & {"audit_halves_differ", "audit_half_missing"}


# Seeded faults in the engine: it runs with one rule off.


def test_apply_twice_is_reported(tmp_path: Path, monkeypatch: Patch) -> None:
    """W5, E2: the tables are the fold of the log."""
    cluster = a_market(tmp_path)
    real = apply_module.apply

    def twice(state: Any, record: Any) -> None:  # noqa: ANN401
        real(state, record)
        if isinstance(record, Transferred):
            real(state, record)

    monkeypatch.setattr(core_module, "apply", twice)
    cluster.fund(account_of(1), USD=1_000)
    cluster.nodes[NodeId(1)].checkpoint()
    cluster.kill_all()
    details = [finding.detail for finding in audit(cluster.paths)]
    assert details
    assert any("table accounts" in detail for detail in details)


def test_a_lost_hold_is_reported(tmp_path: Path, monkeypatch: Patch) -> None:
    """S1."""
    cluster = a_market(tmp_path)
    monkeypatch.setattr(apply_module, "entry_hold", lambda *_, **__: (Asset("ACME"), 0))
    monkeypatch.setattr(ledger_module, "rehold", lambda *_: None)
    monkeypatch.setattr(engine_module.Engine, "check", lambda _: None)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.nodes[NodeId(1)].checkpoint()
    cluster.kill_all()
    details = [finding.detail for finding in audit(cluster.paths)]
    assert any("table orders" in detail for detail in details)
    assert any("table accounts" in detail for detail in details)


def test_a_dropped_mark_is_reported(tmp_path: Path, monkeypatch: Patch) -> None:
    """S5: without the mark an offer that is sent again is decided again."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1), Side.SELL, 4, 100)
    cluster.settle()
    maker = cluster.newest_order(1)
    monkeypatch.setitem(apply_module._APPLY, TradeDeclined, lambda *_: None)
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.nodes[NodeId(1)].turn([inputs.CancelOrder(cluster.ticket(), account_of(1), maker)])
    cluster.deliver(2, 1)
    cluster.hang_up(NodeId(1), NodeId(2))
    cluster.link_all()
    cluster.settle()
    cluster.kill_all()
    assert "audit_mark" in codes(cluster.paths)


def test_forgetting_early_is_reported(tmp_path: Path, monkeypatch: Patch) -> None:
    """S7: an acknowledgement covers only what is resolved and durable."""

    def eager(soft: Any, decider: NodeId) -> OfferId:  # noqa: ANN401
        last = soft.state.peer(decider).last_offer
        return OfferId(last.epoch, last.seq + 1)

    cluster = a_market(tmp_path)
    monkeypatch.setattr(settlement_module, "watermark", eager)
    monkeypatch.setattr("exchange.engine.replication.watermark", eager, raising=False)
    monkeypatch.setattr("exchange.engine.sessions.watermark", eager)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.settle()
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.deliver(2, 1)
    # A heartbeat of the proposer overtakes its settlement.
    cluster.nodes[NodeId(2)].turn([])
    cluster.now_us += 1_100_000
    cluster.nodes[NodeId(2)].turn([inputs.Tick()])
    while cluster.deliver(2, 1):
        pass
    cluster.fund(account_of(1), USD=1)
    cluster.kill_all()
    assert "audit_forget" in codes(cluster.paths)


def test_acknowledging_before_the_force_is_reported(tmp_path: Path, monkeypatch: Patch) -> None:
    """E3: a reply that left before the acceptance was durable, then a crash."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.settle()
    cluster.place(account_of(2), Side.BUY, 4, 101)
    node = cluster.nodes[NodeId(1)]
    release_before_force(node, monkeypatch)
    cluster.deliver(2, 1)
    cluster.deliver(1, 2)
    cluster.kill_all()
    assert "audit_half_missing" in codes(cluster.paths)


def test_telling_before_the_force_is_reported_without_a_crash(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    """E3, C3: the proof in the proposer's frame is older than what it was told."""
    cluster = a_market(tmp_path)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    cluster.settle()
    cluster.place(account_of(2), Side.BUY, 4, 101)
    release_before_force(cluster.nodes[NodeId(1)], monkeypatch, is_forced_later=True)
    cluster.settle()
    cluster.kill_all()
    assert "audit_early" in codes(cluster.paths)


def test_no_effect_is_matched_on_quantity_in_doubt(tmp_path: Path, monkeypatch: Patch) -> None:
    """S3: what is offered is not offered again; an engine that forgets it overfills."""
    cluster = a_market(tmp_path)
    monkeypatch.setattr(matching_module, "LocalTrade", _one_more)
    monkeypatch.setattr(engine_module.Engine, "check", lambda _: None)
    trade_locally(cluster)
    cluster.kill_all()
    assert "audit_overfill" in codes(cluster.paths)


def _one_more(*fields: Any) -> LocalTrade:  # noqa: ANN401
    trade_id, maker, taker, quantity, price, now = fields
    return LocalTrade(trade_id, maker, taker, Lots(quantity + 1), price, now)


def release_before_force(node: Node, monkeypatch: Patch, *, is_forced_later: bool = False) -> None:
    """Make a node let its effects go before it forces what they tell."""

    def turn(items: Sequence[inputs.Input]) -> list[Any]:
        assert node.engine is not None, "the node is up"
        assert node.store is not None, "the node is up"
        node.engine.begin(wall_us=node.cluster.wall_us, mono_us=node.cluster.now_us)
        for item in items:
            node.engine.handle(item)
        step = node.engine.drain()
        node.cluster.release(node, step.effects)
        if is_forced_later:
            write = node.store.prepare(step, ts=node.cluster.wall_us)
            node.engine.forced(node.store.commit(write))
            node.store.committed(write)
        return step.effects

    monkeypatch.setattr(node, "turn", turn)
