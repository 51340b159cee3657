"""Find the first record after which an invariant fails, in few replays (E2).

Theory of operation
===================
An invariant is a question to a whole state, too dear to ask after every record.  The log is
applied once, and on the way the state is copied at evenly spaced places, the checkpoints.  The
checkpoints are asked by bisection; then the stretch before the first bad one is applied again
from the last good one, half of it, a quarter of it, until one record is left.  It is taken that
what is broken stays broken.  A record that cannot be applied at all ends the search as well.

    invariant  | fails when
    -----------+------------------------------------------------------------------
    ledger     | an asset does not sum to zero over the node (S13)
    available  | an amount is below zero (S1)
    holds      | what an account holds is not what its orders need (S1)
    orders     | an order has impossible quantities, or a finished one is live (S9)
    offers     | offers out are not what their orders have reserved (S3)
    apply      | a record cannot be applied
    audit      | the auditor objects (`recovery.audit`)
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from exchange.domain.units import Lsn
from exchange.engine.apply import apply
from exchange.engine.ledger import hold_needed
from exchange.engine.records import Record
from exchange.engine.state import State
from exchange.store.frames import Frame
from recovery.audit.reader import audit_log
from recovery.chain import Chain
from recovery.directory import DataDirectory, data_file
from recovery.replay import whole_chain
from recovery.show import describe

CHECKPOINTS = 16

Check = Callable[[State], str]  # says what is wrong; empty if nothing is


class Bisected(msgspec.Struct):
    """The first bad record, or that there is none."""

    invariant: str
    holds: bool
    lsn: int = 0
    type: str = ""
    record: dict[str, object] = {}
    detail: str = ""
    replays: int = 0


class _Failed(Exception):  # noqa: N818 - a finding
    """A record could not be applied."""

    def __init__(self, lsn: int, detail: str) -> None:
        super().__init__(detail)
        self.lsn = lsn


def bisect(path: Path, invariant: str, *, archive: Path | None = None) -> Bisected:
    """Find where `invariant` begins to fail."""
    with DataDirectory.open(path) as directory:
        chain = whole_chain(directory, archive)
        if invariant == "audit":
            return _first_finding(path, archive)
        return _Search(directory, chain, INVARIANTS[invariant]).run(invariant)


class _Search:
    def __init__(self, directory: DataDirectory, chain: Chain, check: Check) -> None:
        self.directory = directory
        self.chain = chain
        self.check = check
        self.replays = 0

    def run(self, invariant: str) -> Bisected:
        for _ in self.chain.frames(self.directory.log):
            pass  # checked and counted, once
        end = self.chain.last.lsn
        saved = [self._empty()]
        bad: int | None = None
        try:
            self._save(saved, end)
        except _Failed as failed:
            bad = failed.lsn
        first = _first_bad(saved, self.check)
        if first is None and bad is None:
            return Bisected(invariant, holds=True, replays=self.replays)
        good = saved[first - 1] if first else saved[-1] if first is None else None
        if good is None:
            raise AssertionError("the empty state breaks the invariant")
        high = saved[first].lsn if first is not None else bad
        assert high is not None, "something is bad"
        lsn, detail = self._narrow(good, high)
        record = next(record for at, record in self._records(lsn) if at == lsn)
        name, fields = describe(record)
        return Bisected(invariant, False, lsn, name, fields, detail, self.replays)

    def _save(self, saved: list[State], end: int) -> None:
        """Apply the whole log; keep copies of the state on the way."""
        step = max(1, end // CHECKPOINTS)
        state = self._empty()
        self.replays += 1
        for lsn, record in self._records(1):
            _apply(state, lsn, record)
            if lsn % step == 0 or lsn == end:
                saved.append(copy.deepcopy(state))

    def _narrow(self, good: State, high: int) -> tuple[int, str]:
        """Return the first bad LSN in (good.lsn, high], and what is wrong there."""
        detail = ""
        while good.lsn + 1 < high:
            middle = (good.lsn + high) // 2
            state, wrong = self._at(good, middle)
            if wrong:
                high, detail = middle, wrong
            else:
                assert state is not None, "a state that was reached"
                good = state
        _, wrong = self._at(good, high)
        return high, wrong or detail

    def _at(self, good: State, lsn: int) -> tuple[State | None, str]:
        """Apply records behind `good` through `lsn`; say what is wrong then."""
        self.replays += 1
        state = copy.deepcopy(good)
        try:
            for at, record in islice(self._records(good.lsn + 1), lsn - good.lsn):
                _apply(state, at, record)
        except _Failed as failed:
            return None, str(failed)
        return state, self.check(state)

    def _records(self, first_lsn: int) -> Iterator[tuple[int, Record]]:
        for frame in self._frames(first_lsn):
            for lsn, record in enumerate(frame.records, frame.first_lsn):
                if lsn >= first_lsn:
                    yield lsn, record

    def _frames(self, first_lsn: int) -> Iterator[Frame]:
        start = self.chain.start_of(first_lsn)
        return self.chain.again(self.directory.log, start)

    def _empty(self) -> State:
        identity = self.directory.identity
        return State(node_id=identity.node_id, cluster=identity.cluster, nonce=identity.nonce)


def _apply(state: State, lsn: int, record: Record) -> None:
    try:
        apply(state, record)
    except Exception as error:
        raise _Failed(lsn, f"{type(error).__name__}: {error}") from error
    state.lsn = Lsn(lsn)
    state.mark_clean()


def _first_bad(saved: list[State], check: Check) -> int | None:
    """Return the index of the first saved state that breaks the invariant."""
    if not check(saved[-1]):
        return None
    low, high = 0, len(saved) - 1
    while low + 1 < high:
        middle = (low + high) // 2
        if check(saved[middle]):
            high = middle
        else:
            low = middle
    return high


def _first_finding(path: Path, archive: Path | None) -> Bisected:
    """Ask the auditor, who looks at every record anyway."""
    log = audit_log(data_file(path), archive=archive)
    if not log.findings:
        return Bisected("audit", holds=True, replays=1)
    found = min(log.findings, key=lambda finding: finding.lsn)
    result = Bisected("audit", False, found.lsn, detail=f"{found.code}: {found.detail}", replays=1)
    with DataDirectory.open(path) as directory:
        if archive is not None:
            directory.add_archive(archive)
        chain = Chain(directory.base(), directory.place)
        for frame in chain.frames(directory.log):
            if frame.first_lsn <= found.lsn <= frame.last_lsn:
                record = frame.records[found.lsn - frame.first_lsn]
                result.type, result.record = describe(record)
    return result


def _ledger(state: State) -> str:
    total: Counter[str] = Counter(state.scalars.external)
    for account in state.accounts.values():
        total.update(account.available)
        total.update(account.held)
    for peer in state.peers.values():
        total.update(peer.clearing)
    off = {asset: amount for asset, amount in sorted(total.items()) if amount}
    return f"sums are off: {off}" if off else ""


def _available(state: State) -> str:
    for account in state.accounts.values():
        for amounts in (account.available, account.held):
            for asset, amount in amounts.items():
                if amount < 0:
                    return f"account {account.account} has {amount} {asset}"
    return ""


def _holds(state: State) -> str:
    needed: Counter[int] = Counter()
    for order in state.orders.values():
        if order.held != hold_needed(state, order):
            return f"order {order.order_id} holds {order.held}"
        needed[order.account] += order.held
    for account in state.accounts.values():
        if sum(account.held.values()) != needed[account.account]:
            return f"account {account.account} holds {account.held}"
    return ""


def _orders(state: State) -> str:
    for order in state.orders.values():
        if order.is_done or order.filled < 0 or order.offered < 0:
            return f"order {order.order_id}: {order.filled} filled, {order.offered} offered"
        if order.filled > order.quantity and not order.offered:
            return f"order {order.order_id}: {order.filled} filled of {order.quantity}"
    for order in state.done.values():
        if order.filled > order.quantity and not order.canceled:
            return f"order {order.order_id}: {order.filled} filled of {order.quantity}"
    return ""


def _offers(state: State) -> str:
    reserved: Counter[int] = Counter()
    for offer in state.offers.values():
        reserved[offer.taker] += offer.quantity
    for order in state.orders.values():
        if order.offered != reserved[order.order_id]:
            out = reserved[order.order_id]
            return f"order {order.order_id} has {order.offered} offered, {out} out"
    return ""


def _nothing(_: State) -> str:
    return ""


INVARIANTS: dict[str, Check] = {
    "ledger": _ledger,
    "available": _available,
    "holds": _holds,
    "orders": _orders,
    "offers": _offers,
    "apply": _nothing,
}
NAMES = (*INVARIANTS, "audit")
