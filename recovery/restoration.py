"""Which orders of a rebuilt node are open again, against which funds (S1).

Theory of operation
===================
While trades are booked again, an account may lack what its orders must hold: what it was paid
comes later than what it pays, and deposits are known to nobody.  Such funds are lent from
outside, and taken back at the end as far as the account has them.  What it has not is what its
trades alone prove that it had.

    own funds   available + what the orders to restore hold - what was lent
    restored    orders, oldest first, as long as own funds cover what they must hold

So no order is restored with funds that were not recovered, and none of them is lent for ever.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import money
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    OrderId,
    Stamp,
    Units,
    format_id,
)
from exchange.engine.ledger import entry_hold
from exchange.engine.records import OrderAmended, Record, Transferred
from exchange.engine.state import State

Key = tuple[AccountId, Asset]


class Loans:
    """What accounts were lent from outside.  The suspense account is given it for good."""

    def __init__(self, state: State, suspense: AccountId, ts: Micros) -> None:
        self._state = state
        self._suspense = suspense
        self._ts = ts
        self.lent: defaultdict[Key, int] = defaultdict(int)

    def lend(self, account: AccountId, asset: Asset, needed: int) -> list[Record]:
        """Return the record that brings what an account lacks, if it lacks anything.

        The trades of the suspense account are of many: none pays with what another was paid.
        """
        is_suspense = account == self._suspense
        short = needed if is_suspense else needed - _available(self._state, account, asset)
        if short <= 0:
            return []
        if not is_suspense:
            self.lent[account, asset] += short
        return [Transferred(account, asset, Units(short), self._ts)]

    def take_back(self) -> tuple[list[Record], list[str]]:
        """Return the records that take back what accounts have, and in words what they have not."""
        records: list[Record] = []
        kept: list[str] = []
        for (account, asset), lent in sorted(self.lent.items()):
            back = min(lent, _available(self._state, account, asset))
            if back:
                records.append(Transferred(account, asset, Units(-back), self._ts))
            if lent > back:
                kept.append(f"{format_id(account)}: {self.text(asset, lent - back)}")
        return records, kept

    def text(self, asset: Asset, amount: int) -> str:
        """Write an amount as people read it."""
        return f"{money(amount, self._state.decimals[asset])} {asset}"


def choose(
    state: State, believed: Mapping[OrderId, OrderEvent], loans: Loans
) -> tuple[set[OrderId], dict[OrderId, str]]:
    """Return the orders that own funds cover, and why the others cannot be restored."""
    refused: dict[OrderId, str] = {}
    needs: dict[OrderId, tuple[Key, int]] = {}
    own: dict[Key, int] = {}
    for order_id, shown in believed.items():
        order = state.orders.get(order_id)
        if order is None or order.offered:
            why = "it is in doubt" if order is not None else "its trades have filled it"
            refused[order_id] = why
            continue
        rule = state.rules[shown.symbol]
        asset, needed = entry_hold(rule, shown.side, price=shown.price, quantity=shown.open)
        key = (order.account, asset)
        needs[order_id] = (key, needed)
        own.setdefault(key, _available(state, *key) - loans.lent.get(key, 0))
        own[key] += order.held
    kept: set[OrderId] = set()
    for order_id in sorted(needs, key=lambda order_id: believed[order_id].stamp):
        key, needed = needs[order_id]
        if needed <= own[key]:
            own[key] -= needed
            kept.add(order_id)
        else:
            has = loans.text(key[1], max(own[key], 0))
            refused[order_id] = f"needs {loans.text(key[1], needed)}, has {has} that is recovered"
    return kept, refused


def amendments(state: State, kept: Iterable[OrderEvent], ts: Micros) -> Sequence[Record]:
    """Return the records that make orders what replicas show; what needs less than now first."""
    changes: list[tuple[int, OrderId, Record]] = []
    for shown in kept:
        order = state.orders[shown.order_id]
        total = Lots(order.filled + shown.open)
        if (order.price, order.total, order.stamp) == (shown.price, total, shown.stamp):
            continue
        stamp = Stamp(0) if order.stamp == shown.stamp else shown.stamp
        rule = state.rules[shown.symbol]
        _, needed = entry_hold(rule, shown.side, price=shown.price, quantity=shown.open)
        amended = OrderAmended(shown.order_id, shown.price, total, stamp, ts)
        changes.append((needed - order.held, shown.order_id, amended))
    return [record for _, _, record in sorted(changes, key=lambda change: change[:2])]


def _available(state: State, account: AccountId, asset: Asset) -> int:
    entry = state.accounts.find(account)
    assert entry is not None, "an order has an account"
    return entry.available.get(asset, 0)
