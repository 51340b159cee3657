"""What living nodes show of a lost one's open orders, and which of it may be believed (B1, B4).

Theory of operation
===================
Every node holds a replica of the lost one's book, in memory.  It is no authority (B2), but the
owner's own words, durable there before they were sent (E3).  Of two replicas the one that is
further in the owner's stream knows all that the other knows.  An order is believed where

    the furthest replicas agree     they are the same version of the same book
    every node that has traded      the owner sends what is left of an order before it answers
    with it since was asked         an offer, and before it makes one (S3): so the replica of a
                                    node shows every trade in that node's log as done

Whose an order is never changes, so any replica may say that.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from exchange.client.errors import ClientError, Refused
from exchange.client.replicas import ReplicaOrder, Shown, read_replica
from exchange.client.settings import read_settings
from exchange.domain.book import OrderEvent, OwnerBook
from exchange.domain.instruments import NumberError
from exchange.domain.orders import SIDES
from exchange.domain.units import (
    AccountId,
    NodeId,
    OrderId,
    Stamp,
    Symbol,
    node_of,
    parse_id,
)
from exchange.engine.replication import sum_text
from exchange.engine.state import Listing
from exchange.store.directory import holder_of
from recovery.directory import COORDINATORS, marked
from recovery.problems import EXIT_DAMAGED, EXIT_IN_USE, EXIT_USAGE
from recovery.replay import CannotReplay
from recovery.show import counted

STAMP_MAX = (1 << 63) - 1
Position = tuple[int, int]  # epoch and seq of the owner's stream


class Replica(msgspec.Struct, frozen=True):
    """The lost node's open orders as one node shows them."""

    by: NodeId
    position: Position
    seen_lsn: int  # through here the owner's log was durable
    is_complete: bool  # shows all that the node's own log has heard of these orders
    orders: Mapping[OrderId, OrderEvent]

    def __str__(self) -> str:
        if not self.is_complete:
            return f"node {self.by}: not complete"
        epoch, seq = self.position
        orders = counted(len(self.orders), "open order")
        return f"node {self.by}: {orders} at {epoch}.{seq} of its stream"


class Replicas:
    """All of them, and what they say together."""

    def __init__(self, replicas: Sequence[Replica] = ()) -> None:
        self.all = sorted(replicas, key=lambda replica: replica.by)
        complete = [replica for replica in self.all if replica.is_complete]
        last = max((replica.position for replica in complete), default=(0, 0))
        furthest = [replica for replica in complete if replica.position == last]
        self.complete = frozenset(replica.by for replica in complete)
        self.seen_lsn = max((replica.seen_lsn for replica in furthest), default=0)
        self.orders: dict[OrderId, OrderEvent] = {}  # where the furthest agree
        self.disputed: set[OrderId] = set()
        for order_id in sorted({key for replica in furthest for key in replica.orders}):
            shown = [replica.orders.get(order_id) for replica in furthest]
            if shown[0] is not None and all(one == shown[0] for one in shown):
                self.orders[order_id] = shown[0]
            else:
                self.disputed.add(order_id)

    def account_of(self, order_id: int) -> AccountId | None:
        """Return whose an order is, if that was shown and nobody contradicts."""
        shown = [replica.orders.get(OrderId(order_id)) for replica in self.all]
        accounts = {order.account for order in shown if order is not None}
        return accounts.pop() if len(accounts) == 1 else None


def ask(peers: Sequence[Path], urls: Sequence[str], lost: int) -> list[Shown]:
    """Ask every node whose directory is in use, and those at the addresses."""
    for path in peers:
        _refuse_who_knows_nothing(path, lost)
    running = [path for path in peers if holder_of(path) is not None]
    return [*(_ask(lost, None, path) for path in running), *(_ask(lost, url) for url in urls)]


def _refuse_who_knows_nothing(path: Path, lost: int) -> None:
    found = marked(path)
    if found is not None and found.cluster == COORDINATORS:
        told = f"{path} is the directory of a coordinator; it has no trades"
        raise CannotReplay(f"{told}; leave it out here, and give it to --accept", EXIT_USAGE)
    if found is not None and found.node_id == lost:
        told = f"{path} is of node {lost} itself"
        raise CannotReplay(f"{told}; give the others, and an old copy as --backup", EXIT_USAGE)


def _ask(lost: int, url: str | None, path: Path | None = None) -> Shown:
    environment = {name: value for name, value in os.environ.items() if name != "EXCHANGE_URL"}
    try:
        return read_replica(read_settings(url=url, data_dir=path, environment=environment), lost)
    except ClientError as error:
        name = url or path
        is_key = isinstance(error, Refused) and error.code in ("forbidden", "unauthorized")
        detail = f"{name} runs, and cannot be asked for the orders it shows: {error}"
        if isinstance(error, Refused) and error.code == "unknown_node":
            raise CannotReplay(f"{detail}; give the --node that is lost", EXIT_USAGE) from error
        where = "what stands in `operator.key` of the coordinator's directory"
        key = f"set EXCHANGE_OPERATOR_KEY to {where}" if is_key else "mend that"
        remedy = f"{key}, or do without its replica by --without-replicas"
        raise CannotReplay(f"{detail}; {remedy}", error.exit_code) from error


def read(
    shown: Sequence[Shown], lost: int, cluster: str, instruments: Mapping[Symbol, Listing]
) -> Replicas:
    """Check what was shown, and turn it into orders."""
    for one in shown:
        if one.cluster != cluster:
            detail = f"node {one.by} is of cluster {one.cluster}, not of {cluster}"
            raise CannotReplay(detail, EXIT_USAGE)
        if one.replica.is_linked:
            detail = f"node {lost} lives, node {one.by} is linked to it: it cannot be rebuilt"
            raise CannotReplay(f"{detail}; stop it, and run this 5 s later", EXIT_IN_USE)
    found = [_read(one, lost, instruments) for one in shown]
    return Replicas(list({replica.by: replica for replica in found}.values()))


def _read(shown: Shown, lost: int, instruments: Mapping[Symbol, Listing]) -> Replica:
    replica, book = shown.replica, OwnerBook()
    for row in replica.orders:
        event = _order(row, lost, instruments)
        if event is None or event.order_id in book.orders:
            detail = f"node {shown.by} shows an order {row.order_id} that node {lost} cannot have"
            raise CannotReplay(detail, EXIT_DAMAGED)
        book.update(event)
    if (replica.count, replica.sum) != (len(book.orders), sum_text(book)):
        detail = f"what node {shown.by} shows of node {lost} does not add up (B4)"
        raise CannotReplay(f"{detail}; do without it by --without-replicas", EXIT_DAMAGED)
    position = (replica.epoch, replica.seq)
    by = NodeId(shown.by)
    return Replica(by, position, replica.seen_lsn, replica.is_complete, book.orders)


def _order(
    row: ReplicaOrder, lost: int, instruments: Mapping[Symbol, Listing]
) -> OrderEvent | None:
    """Return an order as the owner's stream has it; None if it cannot be of that owner."""
    order_id, account = parse_id(row.order_id), parse_id(row.user_id)
    listing, side = instruments.get(Symbol(row.symbol)), SIDES.get(row.side)
    if order_id is None or account is None or listing is None or side is None:
        return None
    if {node_of(order_id), node_of(account)} != {lost} or not 0 < row.stamp <= STAMP_MAX:
        return None
    rule = listing.instrument.rule
    try:
        price, quantity = rule.price(row.price), rule.quantity(row.remaining_quantity)
    except NumberError:
        return None
    return OrderEvent(
        OrderId(order_id),
        Symbol(row.symbol),
        side,
        price,
        quantity,
        Stamp(row.stamp),
        row.version,
        AccountId(account),
    )
