"""One node's log, frame by frame."""

from collections.abc import Callable
from typing import Any

from recovery.audit.findings import Findings
from recovery.audit.tables import Rows
from recovery.audit.trades import Trades
from recovery.audit.wire import Frame

Method = Callable[[list[Any]], None]


class NodeAudit:
    """The audit of one log.  `add` its frames in order, then read the findings."""

    def __init__(self, node: int, *, previous: bytes, checkpoint_lsn: int) -> None:
        self.findings = Findings(node)
        self.rows = Rows(checkpoint_lsn)
        self.trades = Trades(node, self.findings, self.rows)
        self.digest = previous
        self.records = 0
        self._methods = _methods(self.trades)

    def add(self, frame: Frame) -> None:
        """Audit the records of a frame."""
        trades, methods = self.trades, self._methods
        if frame.first_lsn != trades.lsn + 1:
            detail = f"LSN {frame.first_lsn} follows LSN {trades.lsn}"
            self.findings.add("audit_lsn", frame.first_lsn, detail)
            trades.lsn = frame.first_lsn - 1
        trades.see(frame.seen, _reborn(frame))
        for record in frame.records:
            trades.lsn += 1
            try:
                method, size = methods[record[0]]
                method(record if len(record) <= size else record[:size])
            except KeyError as missing:
                self.findings.add("audit_unknown", trades.lsn, f"{missing.args[0]} is not there")
            except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
                self.findings.add("audit_malformed", trades.lsn, f"tag {record[:1]}: {error}")
        self._check_epoch(frame)
        self.rows.flush()
        self.records += len(frame.records)
        self.digest = frame.digest
        if trades.lsn == self.rows.checkpoint_lsn:
            self.rows.stand(trades)

    def _check_epoch(self, frame: Frame) -> None:
        trades = self.trades
        if frame.epoch != trades.epoch:
            detail = f"a frame of epoch {frame.epoch} in epoch {trades.epoch}"
            self.findings.add("audit_epoch", frame.first_lsn, detail)
        if len(frame.records) > 1 and any(record[0] == 1 for record in frame.records if record):
            self.findings.add("audit_epoch", frame.first_lsn, "`Booted` is not alone in its frame")


def _reborn(frame: Frame) -> set[int]:
    """Return the peers that `recover-node` introduces here: `PeerSeen` without a boot id."""
    return {
        record[1]
        for record in frame.records
        if len(record) > 4 and record[0] == 17 and not record[4]
    }


def _methods(trades: Trades) -> dict[int, tuple[Method, int]]:
    """Return by tag the method of a record, and how many fields it knows, the tag included.

    New fields go to the end: what is longer comes from a later version and is cut.
    """
    return {
        1: (trades.booted, 4),
        2: (trades.instrument_listed, 3),
        3: (trades.account_opened, 4),
        4: (trades.account_closed, 3),
        5: (trades.transferred, 6),
        6: (trades.order_placed, 13),
        7: (trades.order_rejected, 12),
        8: (trades.order_amended, 6),
        9: (trades.order_canceled, 4),
        10: (trades.order_reduced, 4),
        11: (trades.local_trade, 7),
        12: (trades.trade_offered, 12),
        13: (trades.trade_settled, 5),
        14: (trades.trade_accepted, 9),
        15: (trades.trade_declined, 6),
        16: (trades.offers_forgotten, 3),
        17: (trades.peer_seen, 6),
        18: (trades.key_set, 4),
        19: (trades.heuristic_decision, 8),
        20: (trades.heuristic_checked, 5),
        21: (trades.heuristic_forgotten, 6),
        22: (trades.key_created, 7),
        23: (trades.key_revoked, 4),
        24: (trades.switch_set, 5),
    }
