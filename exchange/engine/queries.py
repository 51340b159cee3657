"""Answers to questions: pure reads of a node's state, sent behind all it has decided (E3)."""

from bisect import bisect_left
from itertools import islice, takewhile
from typing import assert_never

from exchange.domain.book import depth
from exchange.domain.orders import Order, Side
from exchange.domain.units import AccountId, Epoch, OrderId, Seq, Symbol, Units
from exchange.engine import clocks
from exchange.engine.account_commands import UNKNOWN_ACCOUNT
from exchange.engine.commands import UNKNOWN_ORDER
from exchange.engine.effects import (
    AccountAnswer,
    AnswerBody,
    BalanceAnswer,
    BookAnswer,
    FillsAnswer,
    KeysAnswer,
    OrdersAnswer,
    PeerStatus,
    Refused,
    ReplicaAnswer,
    StatusAnswer,
    SymbolBook,
    TradesAnswer,
    TransfersAnswer,
    not_listed,
    order_answer,
)
from exchange.engine.inputs import (
    AccountQuery,
    BookQuery,
    FillsQuery,
    KeysQuery,
    OrderQuery,
    OrdersQuery,
    Query,
    ReplicaQuery,
    StatusQuery,
    TradesQuery,
    TransfersQuery,
)
from exchange.engine.replication import sum_text
from exchange.engine.soft import Link, Soft

ANSWERED_BY_OUTCASTS = (StatusQuery, ReplicaQuery)  # operators ask them to find out why
OUTCAST_REMEDY = (
    "This node serves nobody until a peer lets it in.  Compare the directories with "
    "`exchange-recover inspect`: if this one is behind it is an old copy, and `exchange-recover "
    "recover-node` makes a new one; if it is not, mend or stop the peer, and start this node again"
)
PAGES_KEPT = 1_000  # fewer orders than this are sorted anew for each page
LISTED_MAX = 64  # accounts whose list is kept: 8 bytes an order
SCAN_MAX = 10_000  # orders looked at for one page: bounds what a sparse filter costs


def refused_outcast(soft: Soft) -> Refused:
    """Answer in the place of a node that may be an old copy: nothing was done (C3)."""
    return Refused("refused_by_peers", f"the other nodes do not let this one in: {soft.outcast}")


def answer_query(soft: Soft, query: Query) -> AnswerBody:
    """Answer a query about the state as it is now."""
    match query:
        case AccountQuery():
            return _account(soft, query)
        case OrderQuery():
            return _order(soft, query)
        case OrdersQuery():
            return _orders(soft, query)
        case FillsQuery():
            return _fills(soft, query)
        case TransfersQuery():
            return _transfers(soft, query)
        case BookQuery():
            return _book(soft, query)
        case TradesQuery():
            return _trades(soft, query)
        case KeysQuery():
            return _keys(soft, query)
        case StatusQuery():
            return _status(soft)
        case ReplicaQuery():
            return _replica(soft, query)
        case _:
            assert_never(query)


def _account(soft: Soft, query: AccountQuery) -> AnswerBody:
    account = soft.state.accounts.find(query.account)
    if account is None or account.is_closed:
        return UNKNOWN_ACCOUNT
    assets = sorted({*account.available, *account.held})
    balances = [
        BalanceAnswer(
            asset,
            account.available.get(asset, Units(0)),
            account.held.get(asset, Units(0)),
            soft.state.decimals[asset],
        )
        for asset in assets
    ]
    return AccountAnswer(query.account, balances)


def _keys(soft: Soft, query: KeysQuery) -> AnswerBody:
    state, owner = soft.state, query.account
    account = state.accounts.find(owner)
    if account is None or account.is_closed:
        return UNKNOWN_ACCOUNT
    keys = [state.keys[owner, key_id] for key_id in state.keys_of.get(owner, ())]
    return KeysAnswer(owner, bool(account.key_hash), keys)


def _order(soft: Soft, query: OrderQuery) -> AnswerBody:
    order_id = query.order_id
    if order_id is None:
        key = soft.state.client_keys.find((query.account, query.client_order_id))
        if key is None:
            return UNKNOWN_ORDER
        order_id = key.order_id
    order = soft.state.find_order(order_id)
    if order is None or order.account != query.account:
        return UNKNOWN_ORDER
    instrument = soft.state.instruments[order.symbol].instrument
    return order_answer(order, instrument, lsn=soft.state.lsn)


def _orders(soft: Soft, query: OrdersQuery) -> AnswerBody:
    state = soft.state
    account = state.accounts.find(query.account)
    if account is None:
        return UNKNOWN_ACCOUNT
    found: list[Order] = []
    if query.is_open:
        found, last = _open_page(soft, query)
    else:
        seq, last = max(1, query.cursor), None
        stop = min(account.order_seq, seq + SCAN_MAX)
        while seq <= stop and len(found) < query.limit:
            order_id = state.account_orders.find((query.account, Seq(seq)))
            order = state.find_order(order_id) if order_id is not None else None
            if order is not None and _matches(order, query):
                found.append(order)
            seq += 1
        last = Seq(seq) if seq <= account.order_seq else None
    answers = [
        order_answer(order, state.instruments[order.symbol].instrument, lsn=state.lsn)
        for order in found
    ]
    return OrdersAnswer(answers, last)


def _open_page(soft: Soft, query: OrdersQuery) -> tuple[list[Order], Seq | None]:
    """Return live orders in the order of their places, and where the next page begins.

    The list of their ids is kept from page to page: to make it anew for each would cost a listing
    of N orders N x N.  Ids rise with the places, so what was placed since is at its end.
    """
    state, owner, found = soft.state, query.account, list[Order]()
    ids = _live_ids(soft, owner)
    start = 0
    if query.cursor > 1:
        first = state.account_orders.find((owner, query.cursor))
        start = bisect_left(ids, first) if first is not None else len(ids)
    for looked, place in enumerate(range(start, len(ids))):
        order = state.orders.get(ids[place])
        if order is None:
            continue  # done since
        if len(found) == query.limit or looked >= SCAN_MAX:
            return found, order.account_seq
        if query.symbol in (None, order.symbol):
            found.append(order)
    return found, None


def _live_ids(soft: Soft, owner: AccountId) -> list[OrderId]:
    live = soft.state.open_by_account.get(owner, {})
    ids = soft.listed.pop(owner, [])
    if not ids or len(ids) > 2 * len(live):  # most of them are done
        ids = sorted(live)
    else:
        newer = list(takewhile(lambda order_id: order_id > ids[-1], reversed(live)))
        ids += reversed(newer)
    if len(live) > PAGES_KEPT:
        soft.listed[owner] = ids
        while len(soft.listed) > LISTED_MAX:
            del soft.listed[next(iter(soft.listed))]
    return ids


def _matches(order: Order, query: OrdersQuery) -> bool:
    if query.symbol not in (None, order.symbol):
        return False
    return query.is_open is None or order.is_done


def _fills(soft: Soft, query: FillsQuery) -> AnswerBody:
    state = soft.state
    account = state.accounts.find(query.account)
    if account is None:
        return UNKNOWN_ACCOUNT
    stop = min(account.fill_seq, query.from_seq + query.limit - 1)
    rows = []
    for seq in range(max(1, query.from_seq), stop + 1):
        fill = state.fills.find((query.account, Seq(seq)))
        assert fill is not None, "fills are gapless"
        rows.append((fill, state.instruments[fill.symbol].instrument))
    return FillsAnswer(rows, Seq(max(query.from_seq, stop + 1)))


def _transfers(soft: Soft, query: TransfersQuery) -> AnswerBody:
    state = soft.state
    account = state.accounts.find(query.account)
    if account is None:
        return UNKNOWN_ACCOUNT
    stop = min(account.transfer_seq, query.from_seq + query.limit - 1)
    rows = []
    for seq in range(max(1, query.from_seq), stop + 1):
        transfer = state.transfers.find((query.account, Seq(seq)))
        assert transfer is not None, "transfers are gapless"
        rows.append((transfer, state.decimals[transfer.asset]))
    return TransfersAnswer(rows, Seq(max(query.from_seq, stop + 1)))


def _book(soft: Soft, query: BookQuery) -> AnswerBody:
    listed = soft.state.instruments
    if query.symbol is not None and query.symbol not in listed:
        return not_listed(query.symbol, listed)
    symbols = sorted(listed) if query.symbol is None else [query.symbol]
    return BookAnswer([_symbol_book(soft, symbol, query.depth) for symbol in symbols])


def _symbol_book(soft: Soft, symbol: Symbol, levels: int | None) -> SymbolBook:
    """Show what is matched: the orders of an owner who is away are in no book (B5)."""
    owners = soft.matched
    return SymbolBook(
        soft.state.instruments[symbol].instrument,
        soft.stream_seq,
        depth(owners, symbol, Side.BUY, levels),
        depth(owners, symbol, Side.SELL, levels),
    )


def _trades(soft: Soft, query: TradesQuery) -> AnswerBody:
    state = soft.state
    listing = state.instruments.get(query.symbol)
    if listing is None:
        return not_listed(query.symbol, state.instruments)
    stop = min(listing.trade_seq, query.from_seq + query.limit - 1)
    rows = []
    for seq in range(max(1, query.from_seq), stop + 1):
        trade = state.trades.find((query.symbol, Seq(seq)))
        assert trade is not None, "the tape is gapless"
        rows.append(trade)
    return TradesAnswer(listing.instrument, rows, Seq(max(query.from_seq, stop + 1)))


def _status(soft: Soft) -> StatusAnswer:
    state = soft.state
    return StatusAnswer(
        state.node_id,
        state.cluster,
        state.scalars.epoch,
        soft.is_ready and not soft.outcast,
        soft.is_draining,
        soft.is_storage_full,
        state.lsn,
        len(soft.own.orders),
        sum_text(soft.own),
        len(state.offers),
        len(state.acceptances),
        len(soft.waiting) + sum(map(len, soft.waiting_done.values())),
        soft.stream_seq,
        len(state.instruments),
        state.scalars.trades,
        soft.offers,
        soft.declines,
        [_peer_status(soft, link) for _, link in sorted(soft.links.items())],
        sum(entry.answer >= 0 for entry in state.heuristics.values()),
        clocks.apart_us(soft),
        clocks.stamps_ahead_us(soft),
    )


def _peer_status(soft: Soft, link: Link) -> PeerStatus:
    peer = soft.state.peer(link.peer)
    epoch, seq = link.have if link.have is not None else (peer.epoch, Seq(0))
    return PeerStatus(
        link.peer,
        peer.address,
        link.state,
        soft.stream_seq,
        max(link.applied, Seq(0)) if link.is_helloed else Seq(0),
        epoch,
        seq,
        len(link.replica.orders),
        sum_text(link.replica),
        len(soft.state.offers_to.get(link.peer, ())),
        link.quarantine or _refusal(link) or link.detail,
        clocks.peer_apart_us(soft, link),
    )


def _refusal(link: Link) -> str:
    """Say who does not let whom in (C3)."""
    if link.refused:
        return f"it does not let this node in: {link.refused}"
    return link.refusing


def _replica(soft: Soft, query: ReplicaQuery) -> AnswerBody:
    link = soft.links.get(query.owner)
    if link is None:
        return Refused("unknown_node", f"node {query.owner} is not known here")
    peer, seen = soft.state.peer(query.owner), soft.seen.get(query.owner)
    epoch, seq = link.have or (Epoch(0), Seq(0))
    replica, listed = link.replica, soft.state.instruments
    stop = query.cursor + query.limit
    page = list(islice(replica.orders.values(), query.cursor, stop))
    return ReplicaAnswer(
        query.owner,
        link.session is not None,
        link.have is not None and not link.quarantine,
        epoch,
        seq,
        seen.lsn if seen is not None else peer.seen_lsn,
        len(replica.orders),
        sum_text(replica),
        [(order, listed[order.symbol].instrument) for order in page if order.symbol in listed],
        stop if stop < len(replica.orders) else None,
    )
