"""Resolve trades in doubt without starting their nodes (S4, S5).

Theory of operation
===================
A **plan** is what the logs prove, and the (LSN, digest) of every log it was proven from.  To
apply it, all these logs are locked, they must still end where they ended, and the proof is made
again: only then the proposers get the records that their deciders' replies would have made.

A **heuristic decision** is for what nothing can prove: the decider is lost, or never handled the
offer.  It stands in the log with operator and reason.  When the decider comes back, the offer is
sent again; if the answers agree the decision is forgotten, else the trade is frozen and both
records stay.  `forget` ends that, once both halves are seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exchange.domain.units import Lots, NodeId, parse_id
from exchange.engine.messages import SealedProof
from exchange.engine.proofs import seal
from exchange.engine.records import (
    HeuristicDecision,
    HeuristicForgotten,
    OfferId,
    Record,
    TradeAccepted,
    TradeOffered,
    TradeSettled,
)
from recovery.evidence import Evidence
from recovery.inspection import Look, open_all
from recovery.offline import OfflineNode, now
from recovery.problems import EXIT_DAMAGED, EXIT_USAGE, Problem, exit_code
from recovery.proof import Outcome, Verdict, judge, judge_all

PLAN_FORMAT = 1
REASON_MAX = 1_000  # characters, in the log for ever


class CannotResolve(Exception):  # noqa: N818 - a refusal with an exit code
    """Why nothing was written."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = code


class LogEnd(msgspec.Struct, frozen=True):
    """Where a log ended when the plan was made."""

    path: str
    lsn: int
    digest: str


class Plan(msgspec.Struct):
    """What can be proven, and from what."""

    format: int
    logs: dict[int, LogEnd]  # by node
    decisions: list[Verdict]  # commit proven, abort proven
    undecided: list[Verdict]


class Applied(msgspec.Struct):
    """What was written."""

    node: int
    trade_id: str
    record: str
    quantity: int
    lsn: int


def make_plan(paths: Sequence[Path]) -> tuple[Plan, list[Problem]]:
    """Prove what can be proven; nothing is planned from damaged or unreadable logs."""
    problems: list[Problem] = []
    with ExitStack() as opened:
        looks = _look(paths, opened, problems)
        verdicts = judge_all(_evidence(looks))
        proven = [verdict for verdict in verdicts if verdict.verdict is not Outcome.UNDECIDED]
        undecided = [verdict for verdict in verdicts if verdict.verdict is Outcome.UNDECIDED]
        logs = {int(look.directory.node_id): _end(look) for look in looks}
        return Plan(PLAN_FORMAT, logs, proven, undecided), problems


def read_plan(file: Path) -> Plan:
    """Read a plan file."""
    try:
        plan = msgspec.json.decode(file.read_bytes(), type=Plan)
    except OSError as error:
        detail = f"plan {file}: {error.strerror}; `resolve --plan FILE` writes one"
        raise CannotResolve(detail, EXIT_USAGE) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = f"{file} is no plan: {error}; `resolve --plan FILE` writes one"
        raise CannotResolve(detail, EXIT_USAGE) from error
    if plan.format != PLAN_FORMAT:
        raise CannotResolve(f"plan {file} is of format {plan.format}", EXIT_USAGE)
    return plan


def apply_plan(plan: Plan) -> list[Applied]:
    """Check a plan again and write it; all logs are locked meanwhile."""
    done: list[Applied] = []
    with ExitStack() as opened:
        nodes = {
            NodeId(node): opened.enter_context(OfflineNode.open(Path(end.path)))
            for node, end in sorted(plan.logs.items())
        }
        for node, end in plan.logs.items():
            found = nodes[NodeId(node)].proof
            if (found.lsn, found.digest.hex()) != (end.lsn, end.digest):
                raise CannotResolve(f"the log of node {node} has changed: make a new plan")
        again, problems = make_plan([Path(end.path) for end in plan.logs.values()])
        if exit_code(problems) == EXIT_DAMAGED:
            raise CannotResolve("a directory is damaged: run verify", EXIT_DAMAGED)
        if again.decisions != plan.decisions:
            raise CannotResolve("the plan is not what the logs prove: make a new one")
        proofs = {node: seal(offline.state, offline.proof) for node, offline in nodes.items()}
        for node, offline in nodes.items():
            mine = [verdict for verdict in plan.decisions if verdict.proposer == node]
            if mine:
                seen = {NodeId(v.decider): proofs[NodeId(v.decider)] for v in mine}
                done += _settle(offline, mine, seen)
    return done


def decide(
    trade: str, paths: Sequence[Path], *, quantity: int | None, operator: str, reason: str
) -> Applied:
    """Record an operator's decision: commit `quantity` lots (None: all offered), or 0: abort."""
    _check_reason(reason, operator)
    problems: list[Problem] = []
    with ExitStack() as opened:
        looks = _look(paths, opened, problems)
        _check_usable(problems)
        proposer, offer, verdict = _find(trade, looks)
        if verdict.verdict is not Outcome.UNDECIDED:
            raise CannotResolve(f"{trade}: {verdict.verdict}; use --plan, nothing is left to judge")
        path = proposer.directory.path
    lots = offer.quantity if quantity is None else quantity
    if not 0 <= lots <= offer.quantity:
        raise CannotResolve(f"{lots} lots of {offer.quantity} offered", EXIT_USAGE)
    ts = now()
    record = HeuristicDecision(
        offer.decider, offer.offer_id, offer.trade_id, Lots(lots), operator, reason, ts
    )
    with OfflineNode.open(path) as node:
        if (offer.decider, offer.offer_id) not in node.state.offers:
            raise CannotResolve(f"{trade} is not in doubt any more")
        proof = node.append([record], ts=ts)
    return Applied(proposer.directory.node_id, trade, "HeuristicDecision", lots, proof.lsn)


def forget(trade: str, paths: Sequence[Path], *, operator: str, reason: str) -> Applied:
    """Forget a heuristic decision; both halves must be seen resolved."""
    _check_reason(reason, operator)
    problems: list[Problem] = []
    with ExitStack() as opened:
        looks = {look.directory.node_id: look for look in _look(paths, opened, problems)}
        _check_usable(problems)
        look, decider, offer_id = _find_heuristic(trade, looks.values())
        node_id, path = look.directory.node_id, look.directory.path
        _check_resolved(node_id, offer_id, decider, looks.get(decider))
    ts = now()
    with OfflineNode.open(path) as node:
        if (decider, offer_id) not in node.state.heuristics:
            raise CannotResolve(f"the decision about {trade} is forgotten already")
        proof = node.append(
            [HeuristicForgotten(decider, offer_id, operator, reason, ts)],
            ts=ts,
        )
    return Applied(node_id, trade, "HeuristicForgotten", 0, proof.lsn)


def _settle(
    node: OfflineNode, verdicts: Sequence[Verdict], seen: Mapping[NodeId, SealedProof]
) -> list[Applied]:
    """Write what the deciders' replies would have made, in the order of the offers."""
    ts = now()
    records: list[Record] = []
    for verdict in verdicts:
        epoch, _, seq = verdict.offer_id.partition(".")
        offer_id = OfferId(int(epoch), int(seq))  # type: ignore[arg-type]  # an Epoch, a Seq
        quantity = Lots(verdict.quantity)
        records.append(TradeSettled(NodeId(verdict.decider), offer_id, quantity, ts))
    first = node.proof.lsn + 1
    node.append(records, seen=seen, ts=ts)
    return [
        Applied(verdict.proposer, verdict.trade_id, "TradeSettled", verdict.quantity, lsn)
        for lsn, verdict in enumerate(verdicts, first)
    ]


def _look(paths: Sequence[Path], opened: ExitStack, problems: list[Problem]) -> list[Look]:
    looks = open_all(paths, opened, problems)
    for look in looks:
        look.read_log(lambda _: None)
        look.load_state()  # the beginning of the log, and what it proves, may be archived
        problems += look.problems
    return looks


def _evidence(looks: Sequence[Look]) -> dict[NodeId, Evidence]:
    return {look.directory.node_id: look.evidence for look in looks}


def _end(look: Look) -> LogEnd:
    assert look.chain is not None, "the log was read"
    last = look.chain.last
    return LogEnd(str(look.directory.path), last.lsn, last.digest.hex())


def _find(trade: str, looks: Sequence[Look]) -> tuple[Look, TradeOffered, Verdict]:
    packed = parse_id(trade)
    if packed is None:
        raise CannotResolve(f"{trade!r} is no trade id; ids look like 3-17", EXIT_USAGE)
    logs = _evidence(looks)
    for look in looks:
        for lsn, offer in look.evidence.offers.values():
            if offer.trade_id == packed:
                verdict = judge(look.evidence, lsn, offer, logs.get(offer.decider))
                return look, offer, verdict
    raise CannotResolve(f"{trade} is not in doubt in these directories")


def _find_heuristic(trade: str, looks: Iterable[Look]) -> tuple[Look, NodeId, OfferId]:
    packed = parse_id(trade)
    for look in looks:
        for (decider, offer_id), entry in look.state.heuristics.items() if look.state else ():
            if entry.offer.trade_id == packed:
                return look, decider, offer_id
    raise CannotResolve(f"no heuristic decision about {trade} in these directories")


def _check_usable(problems: Sequence[Problem]) -> None:
    """Refuse to decide by half of what was given; what is not to count can be left out."""
    code = exit_code(list(problems))
    if code in (EXIT_DAMAGED, EXIT_USAGE):
        worst = next(found for found in problems if exit_code([found]) == code)
        raise CannotResolve(worst.sentence, code)


def _check_reason(reason: str, operator: str) -> None:
    if not reason.strip() or len(reason) > REASON_MAX or not operator.strip():
        raise CannotResolve(f"give a reason of up to {REASON_MAX} characters", EXIT_USAGE)


def _check_resolved(
    proposer: NodeId, offer_id: OfferId, decider: NodeId, other: Look | None
) -> None:
    """Refuse unless the decider's log shows that the offer is decided there too."""
    if other is None:
        raise CannotResolve(f"give the directory of node {decider} too: both halves must be seen")
    evidence = other.evidence
    answer = evidence.answer(proposer, offer_id)
    if isinstance(answer and answer[1], TradeAccepted):
        return
    if offer_id > evidence.mark(proposer) or not evidence.is_whole:
        raise CannotResolve(f"node {decider} has not handled the offer: its half is not resolved")
