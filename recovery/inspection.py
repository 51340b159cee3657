"""Inspect: one look at one or several data directories; what `inspect` prints.

Each directory is read once, its log as a chain and its state as a node would load it.  Then
the halves of all trades in doubt are joined (`recovery.proof`), and what each node has seen of
the others' logs is held against those logs (C3).  While nodes run, the tails that were written
meanwhile are read a second time before anything is compared.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path

import msgspec

from exchange.domain.units import Lsn, NodeId, format_id
from exchange.engine.messages import SealedProof
from exchange.engine.records import TradeAccepted, TradeOffered
from exchange.engine.state import State
from exchange.store.chain import Budget
from exchange.store.errors import DamagedLog, DamagedTable, NewerFormat, StoreError
from exchange.store.frames import FORMAT_VERSION
from exchange.store.store import Limits, Store
from recovery.amounts import quantity_text
from recovery.chain import Chain
from recovery.directory import DataDirectory, NoDirectory
from recovery.evidence import Evidence
from recovery.ledger import AssetSum, ledger
from recovery.problems import Problem, problem
from recovery.proof import Outcome, Verdict, judge, judge_all
from recovery.show import time_text

LOADS_MAX = 20  # tries to load the tables between two checkpoints of a running node

Progress = Callable[[int], None]  # told how many records were read


class Node(msgspec.Struct):
    """One directory, in figures."""

    path: str
    node_id: int = 0
    cluster: str = ""
    nonce: str = ""
    format: int = FORMAT_VERSION
    running_pid: int | None = None
    epoch: int = 0
    first_lsn: int = 0
    last_lsn: int = 0
    checkpoint_lsn: int = 0
    frames: int = 0
    records: int = 0
    log_bytes: int = 0
    last_write: str = ""
    chain: str = "unknown"  # intact, broken
    frames_after_break: int = 0
    accounts: int = 0
    open_orders: int = 0
    instruments: int = 0
    trades: int = 0
    peers: int = 0
    offers_in_doubt: int = 0
    acceptances: int = 0  # not acknowledged by their proposers yet
    map_size: int = 0
    map_used: int = 0
    file_bytes: int = 0
    ledger: list[AssetSum] = []


class Inspection(msgspec.Struct):
    """All that was found."""

    paths: list[str] = []  # as they were given
    directories: list[Node] = []
    in_doubt: list[Verdict] = []
    problems: list[Problem] = []


class Look:
    """A directory while it is being inspected."""

    def __init__(self, directory: DataDirectory) -> None:
        self.directory = directory
        self.node = Node(str(directory.path))
        self.evidence = Evidence(directory.node_id, directory.disk)
        self.chain: Chain | None = None
        self.state: State | None = None
        self.problems: list[Problem] = []

    @property
    def is_running(self) -> bool:
        """Tell whether a process uses the directory."""
        return self.directory.pid is not None

    def read_log(self, progress: Progress) -> None:
        """Read the log, or what was added to it since."""
        if self.chain is None:
            try:
                base = self.directory.base()
            except StoreError as error:
                self.problems.append(_meta_problem(self.directory, error))
                return
            self.chain = Chain(base, self.directory.place)
        found = len(self.chain.problems)
        for frame in self.chain.frames(self.directory.log):
            self.evidence.add(frame.first_lsn, frame.records)
            self.evidence.seen.update(frame.seen)
            progress(frame.count)
        self.evidence.is_whole = self.chain.is_whole
        self.problems += self.chain.problems[found:]

    def load_state(self) -> None:
        """Load tables and tail as a node would, and add up its accounts."""
        if self.chain is None or not self.chain.is_whole:
            return
        found = _load(self.directory)
        for _ in range(LOADS_MAX if self.is_running else 0):
            if not isinstance(found, Problem):
                break
            found = _load(self.directory)
        if isinstance(found, Problem):
            self.problems.append(_moving(found) if self.is_running else found)
            return
        self.state, self.node.ledger, self.node.checkpoint_lsn = found
        self.evidence.subjects.know(self.state)
        for row in self.node.ledger:
            if row.total:
                detail = f"accounts, external and clearing sum to {row.total}, not to 0"
                place = f"{self.directory.place} asset {row.asset}"
                self.problems.append(problem("ledger_unbalanced", place, detail))
        self._complete_evidence(self.state)

    def _complete_evidence(self, state: State) -> None:
        """Add what only the tables know, because the log before was archived."""
        evidence = self.evidence
        for key, offer in state.offers.items():
            if key not in evidence.offers and offer.offer_id.epoch:
                record = TradeOffered(
                    offer.decider,
                    offer.offer_id,
                    offer.trade_id,
                    offer.taker,
                    offer.maker,
                    offer.quantity,
                    offer.price,
                    offer.limit,
                    offer.taker_stamp,
                    offer.maker_stamp,
                    offer.ts,
                )
                evidence.offers[key] = (Lsn(0), record)
        for (proposer, offer_id), held in state.acceptances.items():
            if evidence.answer(proposer, offer_id) is None:
                accepted = TradeAccepted(
                    proposer,
                    offer_id,
                    held.trade_id,
                    held.maker,
                    held.taker,
                    held.quantity,
                    held.price,
                    ts=0,  # type: ignore[arg-type]  # the table does not keep the time
                )
                evidence.answers.setdefault(proposer, {})[offer_id] = (Lsn(0), accepted)
        for peer in state.peers.values():
            if peer.mark > evidence.mark(peer.peer):
                evidence.marks[peer.peer] = (peer.mark, Lsn(0), 0)  # type: ignore[assignment]
            if peer.forgotten.epoch:
                evidence.forgotten.setdefault(peer.peer, peer.forgotten)

    def finish(self) -> None:
        """Write down the figures."""
        node, directory = self.node, self.directory
        node.node_id, node.cluster = directory.node_id, directory.identity.cluster
        node.nonce = directory.identity.nonce.hex()
        node.running_pid = directory.pid
        meta = directory.pages.meta
        node.map_size = meta.map_size
        node.map_used = (meta.last_page + 1) * meta.page_size
        node.file_bytes = directory.pages.size
        node.offers_in_doubt = len(self.evidence.offers)
        node.acceptances = self.evidence.acceptances
        if self.chain is not None:
            chain = self.chain
            node.first_lsn, node.last_lsn = chain.base.lsn + 1, chain.last.lsn
            node.frames, node.records = chain.frames_count, chain.records
            node.log_bytes, node.epoch = chain.bytes, chain.epoch
            node.last_write = time_text(chain.last_ts) if chain.frames_count else ""
            node.chain = "intact" if chain.is_whole else "broken"
            node.frames_after_break = chain.frames_after_break
        if self.state is not None:
            state = self.state
            node.epoch, node.accounts = state.scalars.epoch, state.scalars.accounts
            node.open_orders = sum(bool(order.open) for order in state.orders.values())
            node.instruments, node.trades = len(state.instruments), state.scalars.trades
            node.peers = len(state.peers)


def inspect(paths: Sequence[Path], progress: Progress = lambda _: None) -> Inspection:
    """Inspect directories; several are joined."""
    result = Inspection([str(path) for path in paths])
    with ExitStack() as opened:
        looks = open_all(paths, opened, result.problems)
        for look in looks:
            look.read_log(progress)
            look.load_state()
        conclude(looks, result, progress)
    return result


def conclude(looks: Sequence[Look], result: Inspection, progress: Progress) -> None:
    """Read what running nodes have written meanwhile, and judge all logs together."""
    first = {look.directory.node_id: look.evidence.last_lsn for look in looks}
    for look in looks:
        if look.is_running:
            look.directory.pages.refresh()
            look.read_log(progress)
        look.finish()
        result.directories.append(look.node)
        result.problems += look.problems
    logs = {look.directory.node_id: look.evidence for look in looks}
    result.in_doubt = judge_all(logs)
    result.problems += check_seen(looks, first)
    result.problems += [doubt_problem(verdict) for verdict in result.in_doubt]
    result.problems += check_heuristics(logs)


def open_all(
    paths: Sequence[Path],
    opened: ExitStack,
    problems: list[Problem],
    archive: Path | None = None,
) -> list[Look]:
    """Open the directories; what cannot be used of them becomes a problem."""
    looks: dict[NodeId, Look] = {}
    for path in paths:
        try:
            directory = opened.enter_context(DataDirectory.open(path))
            if archive is not None:
                directory.add_archive(archive)
        except NoDirectory as nothing:
            problems.append(nothing.problem)
            continue
        other = next(iter(looks.values()), None)
        if directory.node_id in looks:
            detail = f"{looks[directory.node_id].directory.place} is of node {directory.node_id}"
            problems.append(problem("same_node_twice", directory.place, f"{detail} as well"))
            continue
        if other and other.directory.identity.cluster != directory.identity.cluster:
            cluster = directory.identity.cluster
            detail = f"cluster {cluster}, not {other.directory.identity.cluster}"
            problems.append(problem("other_cluster", directory.place, detail))
            continue
        if not directory.is_accepted:
            problems.append(
                problem("unaccepted", directory.place, "no node starts on it until then")
            )
        looks[directory.node_id] = Look(directory)
    return list(looks.values())


def check_seen(looks: Sequence[Look], first: dict[NodeId, Lsn]) -> list[Problem]:
    """Hold what each node has seen of the others' logs against those logs (C3)."""
    problems = []
    chains = {look.directory.node_id: look for look in looks}
    for look in looks:
        for peer, seen in sorted(look.evidence.seen.items()):
            other = chains.get(peer)
            if other is None or other.chain is None or not other.chain.is_whole:
                continue
            if not other.directory.is_accepted:
                continue  # they have seen the lost one's log, and are not told of this one yet
            detail = _unseen(other.chain, seen)
            if detail and not (other.is_running and seen.lsn > first[peer]):
                told = f"node {look.directory.node_id} has seen LSN {seen.lsn} of it: {detail}"
                problems.append(problem("old_copy", other.directory.place, told))
    return problems


def doubt_problem(verdict: Verdict) -> Problem:
    """Make the row of a trade in doubt."""
    place = f"trade {verdict.trade_id}, node {verdict.proposer} to node {verdict.decider}"
    detail = str(verdict.verdict)
    if verdict.verdict is Outcome.UNDECIDED:
        detail += f", needs: {verdict.needs}"
    return problem("in_doubt", place, detail)


def check_heuristics(logs: Mapping[NodeId, Evidence]) -> list[Problem]:
    """Report what operators decided and the deciders have not confirmed (S4)."""
    problems = []
    for node_id, evidence in sorted(logs.items()):
        for (decider, _), entry in sorted(evidence.heuristics.items(), key=itemgetter(0)):
            place = f"trade {format_id(entry.offer.trade_id)}, node {node_id} to node {decider}"
            decision = entry.decision
            instrument = evidence.subjects.instrument(entry.offer)
            decided = quantity_text(decision.quantity, instrument)
            told = f"{decision.operator} decided {decided}: {decision.reason}"
            answer = entry.answer
            if answer is None and decider in logs:
                verdict = judge(evidence, entry.offer_lsn, entry.offer, logs[decider])
                answer = None if verdict.verdict is Outcome.UNDECIDED else verdict.quantity
            if answer is not None and answer != decision.quantity:
                detail = f"{told}; node {decider} has decided {quantity_text(answer, instrument)}"
                problems.append(problem("trade_frozen", place, detail))
            elif entry.answer is None:
                problems.append(problem("heuristic_unchecked", place, told))
    return problems


def _unseen(chain: Chain, seen: SealedProof) -> str:
    """Say how a log contradicts what was seen of it; empty if it does not."""
    if seen.lsn > chain.last.lsn:
        return f"this log ends at LSN {chain.last.lsn}"
    if seen.lsn < chain.base.lsn:
        return ""  # archived
    return "" if chain.digests.at(seen.lsn) == seen.digest else "the digest there is another one"


def _load(directory: DataDirectory) -> tuple[State, list[AssetSum], int] | Problem:
    try:
        limits = Limits(history=Budget(size=0, frames=0))  # the chain was read already
        store = Store.open(directory.disk, directory.identity, limits)
        rows = ledger(store.state, directory.disk)
        checkpoint = directory.checkpoint()
    except DamagedTable as error:
        place = f"{directory.place} table {error.table} key {error.key}".removesuffix(" key ")
        return problem("table_damaged", place, error.what)
    except DamagedLog as error:
        return problem("log_behind_checkpoint", f"{directory.place} LSN {error.lsn}", error.what)
    except StoreError as error:
        return _meta_problem(directory, error)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        return problem("record_impossible", directory.place, f"redo stopped: {detail}")
    if checkpoint.lsn != store.checkpoint_lsn:
        return _moving(problem("moving", directory.place, "a checkpoint was made meanwhile"))
    return store.state, rows, checkpoint.lsn


def _moving(found: Problem) -> Problem:
    """Play a problem down: a running node changes its tables, two versions may be mixed."""
    detail = f"the tables were not read in one piece ({found.detail})"
    return problem("moving", found.place, detail)


def _meta_problem(directory: DataDirectory, error: StoreError) -> Problem:
    if isinstance(error, NewerFormat):
        return problem("newer_format", directory.place, error.what)
    code = "table_damaged" if isinstance(error, DamagedTable) else "page_damaged"
    return problem(code, directory.place, error.what)
