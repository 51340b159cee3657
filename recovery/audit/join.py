"""Several nodes together: halves that must be equal, and what was told before it was durable.

A message leaves a node only when everything decided before it is durable there, and every batch
of messages carries how far the sender's log is durable; the receiver stores that with what it
logs of the batch (E3, C3).  So a half that answers another one must have seen the other node's
log through that other half.  Where it has not, the other node told it too early, and a crash
between the telling and the force would have split the trade.

The batch with the acceptor's hello is the exception: the dialer (the lower id) does not store its
proof, because that could be the word of an old copy.  So what the lower id logs proves nothing
here, and a watermark, which a hello may carry, is held against the *next* proof of its sender.

A half whose counterpart may lie behind the end of the other log, as far as that was read, is
left alone: `seen` says so.  In a log that nobody writes that is an old copy, and reported.
"""

from collections.abc import Iterator, Mapping, Sequence

from recovery.audit.findings import Finding, Findings, id_text
from recovery.audit.halves import Accepted, Declined, Offered, OfferId, Settled
from recovery.audit.reader import LogAudit


def join(logs: Sequence[LogAudit], running: Mapping[int, bool]) -> list[Finding]:
    """Compare all halves of all pairs of nodes; `running` names the nodes that go on writing."""
    findings = {log.node: Findings(log.node) for log in logs}
    usable = [log for log in logs if not log.base_lsn]
    for proposer in usable:
        for decider in usable:
            if proposer.node != decider.node:
                pair = Pair(proposer, decider, findings, running[proposer.node])
                pair.check()
                _check_seen(proposer, decider, findings, is_running=running[decider.node])
    for log in usable:
        for asset, amount in sorted(log.halves.sums.items()):
            if amount:
                findings[log.node].add("audit_conservation", 0, f"{asset} is off by {amount}")
    return [finding for node in sorted(findings) for finding in findings[node]]


class Pair:
    """One proposer and one decider."""

    def __init__(
        self,
        proposer: LogAudit,
        decider: LogAudit,
        findings: Mapping[int, Findings],
        is_proposer_running: bool,
    ) -> None:
        self.is_proposer_running = is_proposer_running
        self.proposer = proposer.halves
        self.decider = decider.halves
        self.proposer_end = proposer.last_lsn
        self.decider_end = decider.last_lsn
        self.of_proposer = findings[proposer.node]
        self.of_decider = findings[decider.node]
        # Halves up to here have seen the log of a node that is lost: LSNs cannot be compared.
        self.proposer_reborn = decider.halves.reborn.get(proposer.node, 0)
        self.decider_reborn = proposer.halves.reborn.get(decider.node, 0)

    def check(self) -> None:
        """Check every trade between the two."""
        for (node, *offer_id), settled in self.proposer.settled.items():
            is_old = settled.lsn <= self.decider_reborn
            if node == self.decider.node and (is_old or settled.seen <= self.decider_end):
                self._check_settled((offer_id[0], offer_id[1]), settled)
        for (node, *offer_id), accepted in self.decider.accepted.items():
            is_old = accepted.lsn <= self.proposer_reborn
            if node == self.proposer.node and (is_old or accepted.seen <= self.proposer_end):
                self._check_accepted((offer_id[0], offer_id[1]), accepted)
        for (node, *offer_id), declined in self.decider.declined.items():
            is_old = declined.lsn <= self.proposer_reborn
            if node == self.proposer.node and (is_old or declined.seen <= self.proposer_end):
                self._check_declined((offer_id[0], offer_id[1]), declined)
        self._check_forgotten()

    def _check_settled(self, offer_id: OfferId, settled: Settled) -> None:
        """Hold what the proposer was told against what the decider has decided."""
        if settled.is_heuristic:
            return  # a difference is known: the trade is frozen
        key = (self.proposer.node, *offer_id)
        answer, declined = self.decider.accepted.get(key), self.decider.declined.get(key)
        decided = answer.quantity if answer else 0
        name = self._name(offer_id)
        if settled.quantity != decided:
            code = "audit_halves_differ" if answer or declined else "audit_half_missing"
            detail = f"{name}: {settled.quantity} lots here, {decided} at the decider"
            self.of_proposer.add(code, settled.lsn, detail)
        elif offer_id > self.decider.marks.get(self.proposer.node, (0, 0)):
            detail = f"{name}: released here, the decider has not handled it"
            self.of_proposer.add("audit_half_missing", settled.lsn, detail)
        half = answer or declined
        is_told = self.proposer.node > self.decider.node  # the proposer stores every proof
        is_told = is_told and settled.lsn > self.decider_reborn
        if half is not None and is_told and settled.seen < half.lsn:
            detail = f"{name}: answered when durable through LSN {settled.seen}"
            self.of_decider.add("audit_early", half.lsn, detail)

    def _check_accepted(self, offer_id: OfferId, accepted: Accepted) -> None:
        """Hold an acceptance against the offer it answers."""
        offered = self._offered(offer_id, accepted, "accepted")
        if offered is not None:
            name = self._name(offer_id)
            for what in _differences(offered, accepted):
                self.of_decider.add("audit_halves_differ", accepted.lsn, f"{name}: {what}")

    def _check_declined(self, offer_id: OfferId, declined: Declined) -> None:
        self._offered(offer_id, declined, "declined")

    def _offered(self, offer_id: OfferId, answer: Accepted | Declined, verb: str) -> Offered | None:
        """Return the offer that an answer is to, if it is there and was durable when it left."""
        offered = self.proposer.offered.get((self.decider.node, *offer_id))
        name = self._name(offer_id)
        if offered is None:
            detail = f"{name}: {verb} here, never offered there"
            self.of_decider.add("audit_half_missing", answer.lsn, detail)
        elif answer.seen < offered.lsn and self._is_told(answer.lsn):
            detail = f"{name}: offered when durable through LSN {answer.seen}"
            self.of_proposer.add("audit_early", offered.lsn, detail)
        return offered

    def _is_told(self, lsn: int) -> bool:
        """Tell whether the decider has stored the proposer's proof with what it logged."""
        return self.decider.node > self.proposer.node and lsn > self.proposer_reborn

    def _check_forgotten(self) -> None:
        """Check that every offer was resolved before the decider forgot its answer (S7)."""
        node = self.decider.node
        offers = sorted(key[1:] for key in self.proposer.offered if key[0] == node)
        done = 0
        for watermark in self.decider.forgotten.get(self.proposer.node, ()):
            while done < len(offers) and offers[done] < watermark.below:
                offer_id = (offers[done][0], offers[done][1])
                done += 1
                settled = self.proposer.settled.get((node, *offer_id))
                if watermark.lsn <= self.proposer_reborn:
                    continue
                if settled is None and self.is_proposer_running:
                    continue  # its log was read before
                if settled is None or 0 <= watermark.seen < settled.lsn:
                    when = f"at LSN {settled.lsn}" if settled else "not yet"
                    detail = (
                        f"{self._name(offer_id)}: forgotten here, resolved {when} at node"
                        f" {self.proposer.node}, later durable through LSN {watermark.seen}"
                    )
                    self.of_decider.add("audit_forget", watermark.lsn, detail)

    def _name(self, offer_id: OfferId) -> str:
        half = self.proposer.offered.get((self.decider.node, *offer_id))
        answer = self.decider.accepted.get((self.proposer.node, *offer_id))
        trade = half.trade_id if half else answer.trade_id if answer else 0
        name = f"offer {offer_id[0]}.{offer_id[1]} of node {self.proposer.node}"
        return f"trade {id_text(trade)}, {name}" if trade else name


def _differences(offered: Offered, accepted: Accepted) -> Iterator[str]:
    """Say in what two halves of one trade differ."""
    for name in ("trade_id", "maker", "taker", "symbol", "price", "maker_stamp"):
        there, here = getattr(offered, name), getattr(accepted, name)
        if there != here:
            yield f"{name} {here} here, {there} at the proposer"
    if accepted.quantity > offered.quantity:
        yield f"accepted {accepted.quantity} lots of {offered.quantity} offered"
    if accepted.side == offered.side:
        yield "both sides are the same"


def _check_seen(
    log: LogAudit, other: LogAudit, findings: Mapping[int, Findings], *, is_running: bool
) -> None:
    """Hold what one node has seen of another's log against that log (C3)."""
    lsn, digest = log.halves.seen.get(other.node, (0, b""))
    if not lsn or other.is_broken or (is_running and lsn > other.last_lsn):
        return
    if other.digest_at(lsn) != digest:
        detail = f"node {log.node} has seen another log of it at LSN {lsn}"
        findings[other.node].add("audit_old_copy", 0, detail)
