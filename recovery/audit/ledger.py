"""The ledger of one node: accounts, orders, matching, one method for each kind of record.

Theory of operation
===================
A method checks the rules that its record must keep, and then does what the record says, broken
or not, so that one fault is reported where it is and not at every record after it.  What a
record names and is not there raises KeyError: it is reported and the record skipped.
"""

from typing import Any

from recovery.audit.findings import Findings, id_text
from recovery.audit.market import (
    BUY,
    IOC,
    NUMBER_MASK,
    PRICE_MAX,
    QUANTITY_MAX,
    SELL,
    Account,
    Amounts,
    Instrument,
    Order,
)
from recovery.audit.tables import Rows

NUMBER_BITS = 50
NODE_BITS = 13
NEWEST = 1 << 63  # above any stamp
NODE_MASK = (1 << NODE_BITS) - 1


# A node that was rebuilt from what others know has all its trades, but not when its orders came:
# from the opening of the suspense account, number 0, to the first peer that says hello.
RULES_OF_TIME = frozenset({"audit_stamp", "audit_age", "audit_priority", "audit_amend"})


class Ledger:
    """What a node owns and owes, and the orders that hold it."""

    def __init__(self, node: int, findings: Findings, rows: Rows) -> None:
        self.node = node
        self.findings = findings
        self.rows = rows
        self.lsn = 0
        self.epoch = 0
        self.boot_id = b""
        self.boots: list[tuple[int, bytes, int]] = []  # as rows: epoch, boot id, first LSN
        self.is_rebuilding = False  # the records are those of `recover-node`
        self.number = 0  # last order or trade number
        self.account_number = 0
        self.stamp = 0  # newest own stamp
        self.open_accounts = 0
        self.trade_count = 0
        self.external = Amounts(int)
        self.instruments: dict[str, Instrument] = {}
        self.accounts: dict[int, Account] = {}
        self.keys: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.transfer_keys: set[tuple[int, str]] = set()
        self.switches: dict[int, tuple[Any, ...]] = {}
        self.orders: dict[int, Order] = {}  # live
        self.client_ids: set[int] = set()  # hashes of (account, client order id)
        self._add_fill = rows.pending["fills"].append
        self._add_done = rows.pending["done"].append
        self._add_place = rows.pending["account_orders"].append

    def report(self, code: str, detail: str) -> None:
        """Report a violation at the record in hand."""
        if self.is_rebuilding and code in RULES_OF_TIME:
            return
        self.findings.add(code, self.lsn, detail)

    # Records of accounts and instruments.

    def booted(self, record: list[Any]) -> None:
        _, epoch, boot_id, _ = record
        if epoch <= self.epoch:
            self.report("audit_epoch", f"epoch {epoch} follows epoch {self.epoch}")
        self.epoch, self.boot_id = epoch, boot_id
        self.boots.append((epoch, boot_id, self.lsn))

    def instrument_listed(self, record: list[Any]) -> None:
        _, row, _ = record
        if row[0] in self.instruments:
            self.report("audit_twice", f"instrument {row[0]} is listed again")
        else:
            self.instruments[row[0]] = Instrument(row)

    def account_opened(self, record: list[Any]) -> None:
        _, account, key_hash, _ = record
        if account >> NUMBER_BITS != self.node:
            self.report("audit_owner", f"account {id_text(account)} is opened here")
        if account in self.accounts:
            self.report("audit_twice", f"account {id_text(account)} is opened again")
            return
        self.accounts[account] = Account(account, key_hash)
        if not account & NUMBER_MASK:
            self.is_rebuilding = True
        self.account_number = max(self.account_number, account & NUMBER_MASK)
        self.open_accounts += 1

    def account_closed(self, record: list[Any]) -> None:
        _, account_id, _ = record
        account = self._account(account_id)
        if any(account.available.values()) or any(account.held.values()):
            self.report("audit_closed", f"account {id_text(account_id)} is closed with funds")
        account.is_closed = True
        self.open_accounts -= 1

    def key_set(self, record: list[Any]) -> None:
        _, account, key_hash, _ = record
        self._account(account).key_hash = key_hash

    def key_created(self, record: list[Any]) -> None:
        _, account, key_id, key_hash, scopes, expires, ts = record
        self._account(account)
        self.keys[account, key_id] = (account, key_id, key_hash, scopes, expires, ts)

    def key_revoked(self, record: list[Any]) -> None:
        _, account, key_id, _ = record
        if self.keys.pop((account, key_id), None) is None:
            self.report("audit_key", f"key {key_id} of {id_text(account)} is revoked, and was not")

    def transferred(self, record: list[Any]) -> None:
        _, account_id, asset, amount, ts, *rest = record
        key = rest[0] if rest else ""
        account = self._account(account_id)
        account.available[asset] += amount
        self.external[asset] -= amount
        if account.available[asset] < 0:
            self._report_short(account, asset)
        account.transfer_seq += 1
        seq = account.transfer_seq
        self.rows.pending["transfers"].append(((account_id, seq), (seq, asset, amount, ts, key)))
        if key:
            if (account_id, key) in self.transfer_keys:
                self.report("audit_client_key", f"{key} of {id_text(account_id)} moves twice")
            self.transfer_keys.add((account_id, key))
            row = (seq, asset, amount, account.available[asset], account.held[asset])
            self.rows.pending["transfer_keys"].append(((account_id, key), row))

    def switch_set(self, record: list[Any]) -> None:
        _, account, cancel_after, is_watched, ts = record
        self._account(account)
        self.switches.pop(account, None)
        if cancel_after or is_watched:
            self.switches[account] = (account, cancel_after, is_watched, ts)

    # Records of orders.

    def order_placed(self, record: list[Any]) -> None:
        symbol = record[3]
        instrument = self.instruments.get(symbol)
        if instrument is None:
            raise KeyError(f"instrument {symbol}")
        order = Order(record, instrument)
        if not (0 < order.price <= PRICE_MAX and 0 < order.quantity <= QUANTITY_MAX):
            self.report("audit_terms", f"{order.quantity} lots at {order.price}")
        if order.side not in (BUY, SELL):
            raise ValueError(f"side {order.side}")
        self._enter(order)
        self._new_stamp(order.stamp)
        self.orders[order.order_id] = order
        instrument.books[order.side].add(order)
        self._hold(order)

    def order_rejected(self, record: list[Any]) -> None:
        *head, client_id, reason, ts = record
        order = Order([*head, 0, client_id, (0, 0, 0, 0, "", False), ts], self._any(record[3]))
        self._enter(order)
        order.canceled = True
        order.reason = reason
        self._add_done((order.order_id, order.row(is_rejected=True)))

    def order_amended(self, record: list[Any]) -> None:
        _, order_id, price, quantity, stamp, ts = record
        order = self._order(order_id)
        if not (0 < price <= PRICE_MAX and 0 <= quantity <= QUANTITY_MAX):
            self.report("audit_terms", f"amended to {quantity} lots at {price}")
        if quantity < order.filled:
            self.report("audit_amend", f"amended to {quantity} lots, {order.filled} are filled")
        if not stamp and (price != order.price or quantity > order.total):
            self.report("audit_amend", f"order {id_text(order_id)} keeps a place it has to give up")
        book = order.instrument.books[order.side]
        if stamp:
            self._new_stamp(stamp)
        if stamp or price != order.price:
            book.remove(order)
            order.price = price
            order.stamp = stamp or order.stamp
            book.add(order)
        order.quantity = order.total = quantity
        self.changed(order, ts)

    def order_canceled(self, record: list[Any]) -> None:
        _, order_id, reason, ts = record
        order = self._order(order_id)
        order.canceled = True
        order.reason = reason
        self.changed(order, ts)

    def order_reduced(self, record: list[Any]) -> None:
        _, order_id, reason, ts = record
        order = self._order(order_id)
        order.total = order.filled + order.offered
        order.reason = reason
        self.changed(order, ts)

    def local_trade(self, record: list[Any]) -> None:
        _, trade_id, maker_id, taker_id, quantity, price, ts = record
        self._new_number(trade_id)
        maker, taker = self._order(maker_id), self._order(taker_id)
        self._check_pair(maker, taker, quantity)
        self._check_price(price, maker=maker.price, taker=taker, limit=taker.price)
        first = taker.instrument.books[3 - taker.side].first(_age(taker))
        if first is not None and first is not maker:
            self.report(
                "audit_priority",
                f"trade {id_text(trade_id)} takes order {id_text(maker_id)},"
                f" order {id_text(first.order_id)} comes before it",
            )
        for order in (maker, taker):
            self.fill(order, trade_id, quantity, price, is_maker=order is maker, ts=ts)
        self.publish(maker, trade_id, quantity, price, ts)

    # What the records share.

    def fill(
        self, order: Order, trade_id: int, quantity: int, price: int, *, is_maker: bool, ts: int
    ) -> None:
        """Exchange cash and shares on one side of a trade; the rest of the hold follows."""
        owner, instrument = order.owner, order.instrument
        cash, shares = price * quantity * instrument.tick_value, quantity * instrument.lot_value
        paid, got = (cash, shares) if order.side == BUY else (shares, cash)
        owner.held[order.pays] -= paid
        owner.available[order.gets] += got
        order.held -= paid
        order.filled += quantity
        order.cost += price * quantity
        owner.fill_seq = seq = owner.fill_seq + 1
        self._add_fill(
            (
                (order.account, seq),
                (
                    seq,
                    trade_id,
                    order.order_id,
                    order.symbol,
                    order.side,
                    price,
                    quantity,
                    is_maker,
                    ts,
                ),
            )
        )
        self.changed(order, ts)

    def publish(self, maker: Order, trade_id: int, quantity: int, price: int, ts: int) -> None:
        """Add a row to the trade tape."""
        instrument = maker.instrument
        if ts < instrument.trade_ts:
            self.report("audit_tape", f"{maker.symbol} at {ts} after {instrument.trade_ts}")
        instrument.trade_ts = ts
        instrument.trades = seq = instrument.trades + 1
        self.trade_count += 1
        row = (seq, trade_id, maker.symbol, price, quantity, 3 - maker.side, ts)
        self.rows.pending["trades"].append(((maker.symbol, seq), row))

    def changed(self, order: Order, ts: int) -> None:
        """Bring the hold in line; a finished order leaves the book."""
        order.version += 1
        order.updated = ts
        self._hold(order)
        if not order.offered and (order.canceled or order.filled >= order.total):
            del self.orders[order.order_id]
            order.instrument.books[order.side].remove(order)
            self._add_done((order.order_id, order.row()))

    def _hold(self, order: Order) -> None:
        if order.offers or order.canceled:
            needed = order.hold()
        else:  # most orders, so it is written out
            instrument = order.instrument
            free = order.total - order.filled
            if order.side == BUY:
                needed = order.price * free * instrument.tick_value if free > 0 else 0
            else:
                needed = free * instrument.lot_value if free > 0 else 0
        more = needed - order.held
        if not more:
            return
        owner, asset = order.owner, order.pays
        owner.available[asset] -= more
        owner.held[asset] += more
        order.held = needed
        if more > 0 > owner.available[asset]:
            self._report_short(owner, asset)

    def _report_short(self, account: Account, asset: str) -> None:
        short = -account.available[asset]
        self.report("audit_overdrawn", f"{id_text(account.account)} is {short} short of {asset}")

    def _enter(self, order: Order) -> None:
        """Give an order its place in its account, and its client order id."""
        self._new_number(order.order_id)
        order.owner = account = self._account(order.account)
        if account.is_closed:
            self.report("audit_closed", f"account {id_text(order.account)} places an order")
        account.order_seq = order.account_seq = account.order_seq + 1
        self._add_place(((order.account, order.account_seq), order.order_id))
        if order.client_id:
            key = (order.account, order.client_id)
            known = hash(key)
            if known in self.client_ids:
                self.report("audit_client_id", f"{order.client_id} of {id_text(order.account)}")
            self.client_ids.add(known)
            row = (
                order.order_id,
                order.symbol,
                order.side,
                order.time_in_force,
                order.self_trade,
                order.price,
                order.quantity,
            )
            self.rows.pending["client_keys"].append((key, row))

    def _check_pair(self, maker: Order, taker: Order, quantity: int) -> None:
        """Check what any two orders of one node that trade must be."""
        if maker.side == taker.side or maker.symbol != taker.symbol:
            self.report("audit_sides", f"{id_text(maker.order_id)} and {id_text(taker.order_id)}")
        if maker.stamp >= _age(taker):
            self.report("audit_age", f"maker {id_text(maker.order_id)} is the younger order")
        if maker.time_in_force == IOC:
            self.report("audit_rests", f"maker {id_text(maker.order_id)}")
        if maker.account == taker.account:
            self.report("audit_self_trade", f"account {id_text(maker.account)}")
        self.check_open(maker, quantity)
        self.check_open(taker, quantity)

    def check_open(self, order: Order, quantity: int) -> None:
        """Check that a quantity is open (S9)."""
        if not 0 < quantity <= order.open:
            detail = f"{quantity} lots of order {id_text(order.order_id)}, {order.open} are open"
            self.report("audit_overfill", detail)

    def _check_price(self, price: int, *, maker: int, taker: Order, limit: int) -> None:
        """Check that a trade is at the maker's price and within the taker's limit (S2)."""
        if price != maker:
            self.report("audit_price", f"a trade at {price}, the maker's price is {maker}")
        if price > limit if taker.side == BUY else price < limit:
            detail = f"a trade at {price}, the limit of {id_text(taker.order_id)} is {limit}"
            self.report("audit_price", detail)

    def _new_number(self, packed: int) -> None:
        """Check that an order or trade id is new and of this node."""
        if packed >> NUMBER_BITS != self.node:
            self.report("audit_owner", f"id {id_text(packed)} is given out here")
        number = packed & NUMBER_MASK
        if number <= self.number:
            self.report("audit_number", f"id {id_text(packed)}, {self.number} was given out before")
        else:
            self.number = number

    def _new_stamp(self, stamp: int) -> None:
        if stamp & NODE_MASK != self.node:
            self.report("audit_stamp", f"stamp {stamp} is of node {stamp & NODE_MASK}")
        if stamp <= self.stamp:
            self.report("audit_stamp", f"stamp {stamp} is not younger than {self.stamp}")
        else:
            self.stamp = stamp

    def _account(self, account_id: int) -> Account:
        account = self.accounts.get(account_id)
        if account is None:
            raise KeyError(f"account {id_text(account_id)}")
        return account

    def _order(self, order_id: int) -> Order:
        order = self.orders.get(order_id)
        if order is None:
            raise KeyError(f"live order {id_text(order_id)}")
        return order

    def _any(self, symbol: str) -> Instrument:
        """Return an instrument for an order that was rejected before it could be in any book."""
        return self.instruments.get(symbol) or Instrument([symbol, symbol, "", "1", "1", 0, 0])


def _age(taker: Order) -> int:
    """Return the stamp of a match pass: an IOC takes a new one each time, which only offers log."""
    return NEWEST if taker.time_in_force == IOC else taker.stamp
