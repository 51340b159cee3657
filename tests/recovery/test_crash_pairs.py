"""Both nodes of a trade killed at every combination of crash points; every label comes true."""

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import exchange.store.crash as crash_module
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import NodeId, parse_id
from exchange.engine.records import OfferId, TradeOffered, TradeSettled
from exchange.store.store import Limits
from recovery.chain import Chain
from recovery.directory import DataDirectory
from recovery.evidence import Evidence
from recovery.inspection import Inspection, inspect
from recovery.problems import EXIT_CLEAN, EXIT_IN_DOUBT, exit_code
from recovery.proof import NOT_HANDLED, Outcome
from recovery.verification import verify
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.logs import read_frames

POINTS = (
    "frame_encoded_unforced",
    "checkpoint_encoded_unforced",
    "write_begun_uncommitted",
    "frame_forced_effects_held",
    "checkpoint_forced_effects_held",
    "checkpoint_forced_entries_kept",
    "between_turns",
)
PASSAGES = (1, 2, 3)
PARTS = 3
EXTRA = 21  # rounds a part, so that all six parts make more than 1,000
ROUNDS_PER_MARKET = 9  # logs stay short
Death = tuple[str, int]  # crash point, passage


class Killed(BaseException):
    """A node died at a crash point."""


class Deaths:
    """Kills each node once, at its crash point."""

    def __init__(self, deaths: dict[int, Death]) -> None:
        self.left = dict(deaths)
        self.running = 0  # whose turn it is

    def __call__(self, point: str) -> None:
        name, passage = self.left.get(self.running, ("", 0))
        if point != name:
            return
        self.left[self.running] = (name, passage - 1)
        if passage == 1:
            raise Killed


def deaths_of_rounds() -> Iterator[dict[int, Death]]:
    """Yield every combination of crash point and passage on both sides."""
    ways = list(itertools.product(POINTS, PASSAGES))
    for one, two in itertools.product(ways, ways):
        yield {1: one, 2: two}


def play(cluster: Cluster, deaths: Deaths, source: random.Random) -> None:
    """Trade across the nodes until both are dead."""
    for node_id in (1, 2):
        _guarded(cluster, deaths, node_id, lambda n=node_id: _place(cluster, n, source))
    for _ in range(12):
        pairs = [pair for pair in sorted(cluster.wire) if cluster.wire[pair]]
        if not pairs:
            break
        from_node, to_node = source.choice(pairs)
        _guarded(cluster, deaths, to_node, lambda f=from_node, t=to_node: cluster.deliver(f, t))
        if source.random() < 0.3:
            node_id = source.choice([1, 2])
            _guarded(cluster, deaths, node_id, lambda n=node_id: _place(cluster, n, source))
    cluster.kill_all()


def _place(cluster: Cluster, node_id: int, source: random.Random) -> None:
    """Place an order that crosses what the other node has, or take an own one away from it."""
    side = Side.BUY if node_id == 2 else Side.SELL
    account = account_of(node_id)
    tif = source.choice([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC])
    if source.random() < 0.55:
        account, side, tif = account_of(node_id, 2), side.opposite, TimeInForce.IOC
    price = 100 + (1 if side is Side.BUY else 0)
    cluster.place(account, side, source.randint(1, 5), price, time_in_force=tif)


def _guarded(cluster: Cluster, deaths: Deaths, node_id: int, act: object) -> None:
    """Do something in a node's turn; it may die of it."""
    node = cluster.nodes[NodeId(node_id)]
    if not node.is_up:
        return
    deaths.running = node_id
    try:
        assert callable(act)
        act()
        deaths("between_turns")
    except Killed:
        deaths.running = 0
        node.kill()
    deaths.running = 0


def evidence_of(path: Path) -> Evidence:
    with DataDirectory.open(path) as directory:
        evidence, chain = Evidence(directory.node_id), Chain(directory.base(), "here")
        for frame in chain.frames(directory.log):
            evidence.add(frame.first_lsn, frame.records)
        return evidence


def restart(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        node.start()
    cluster.link_all()
    cluster.settle()
    cluster.kill_all()


def settled(path: Path) -> dict[int, int]:
    """Return what each trade of a proposer came to: trade id -> lots."""
    offers: dict[tuple[int, OfferId], int] = {}
    trades: dict[int, int] = {}
    for frame in read_frames(path):
        for record in frame.records:
            if isinstance(record, TradeOffered):
                offers[record.decider, record.offer_id] = record.trade_id
            elif isinstance(record, TradeSettled):
                trades[offers[record.decider, record.offer_id]] = record.quantity
    return trades


@pytest.mark.parametrize("dirty", [1, 10_000], ids=["checkpoints", "log-only"])
@pytest.mark.parametrize("part", range(PARTS))
def test_every_label_comes_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dirty: int, part: int
) -> None:
    """S3, S4, S5; issue: 1,008 pairs, all combinations with and without checkpoints."""
    source = random.Random(dirty + part)
    counts = dict.fromkeys(Outcome, 0)
    combinations = list(deaths_of_rounds())
    rounds = [*combinations[part::PARTS], *source.sample(combinations, EXTRA)]
    limits = Limits(dirty=dirty)
    a_market(tmp_path / "template", limits=limits).kill_all()
    cluster = Cluster(tmp_path / "template")
    for number, deaths in enumerate(rounds):
        if number % ROUNDS_PER_MARKET == 0:
            shutil.rmtree(tmp_path / "market", ignore_errors=True)
            shutil.copytree(tmp_path / "template", tmp_path / "market")
            cluster = Cluster(tmp_path / "market", limits=limits)
        cluster.start()
        hook = Deaths(deaths)
        monkeypatch.setattr(crash_module, "hook", hook)
        play(cluster, hook, source)
        monkeypatch.setattr(crash_module, "hook", None)
        result = inspect(cluster.paths)
        check_labels(cluster, result)
        for verdict in result.in_doubt:
            counts[verdict.verdict] += 1
        restart(cluster)
        check_truth(cluster, result)
        if number % ROUNDS_PER_MARKET == ROUNDS_PER_MARKET - 1:
            assert verify(cluster.paths).problems == []
    assert all(counts.values()), f"the crashes miss a case: {counts}"


def check_labels(cluster: Cluster, result: Inspection) -> None:
    """Undecided for its reason alone; one directory alone proves nothing about its offers."""
    assert exit_code(result.problems) in (EXIT_CLEAN, EXIT_IN_DOUBT), result.problems
    for verdict in result.in_doubt:
        if verdict.verdict is Outcome.UNDECIDED:
            assert verdict.needs == NOT_HANDLED
            epoch, _, seq = verdict.offer_id.partition(".")
            decider = evidence_of(cluster.paths[verdict.decider - 1])
            mark = decider.mark(NodeId(verdict.proposer))
            assert (mark.epoch, mark.seq) < (int(epoch), int(seq))
        else:
            assert verdict.needs == ""
            assert {witness.node for witness in verdict.records} == {1, 2}
    for path in cluster.paths if result.in_doubt else ():
        assert all(v.verdict is Outcome.UNDECIDED for v in inspect([path]).in_doubt)


def check_truth(cluster: Cluster, before: Inspection) -> None:
    """After the restart nothing is in doubt, and every proven label has come true."""
    outcomes = settled(cluster.paths[0]) | settled(cluster.paths[1])
    for verdict in before.in_doubt:
        trade = parse_id(verdict.trade_id)
        assert trade in outcomes, f"{verdict.trade_id} is still in doubt"
        if verdict.verdict is not Outcome.UNDECIDED:
            assert outcomes[trade] == verdict.quantity, verdict
