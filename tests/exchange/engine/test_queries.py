"""Answers to questions are pure reads.  Docstrings cite the rule or the interface."""

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, NodeId, OrderId, Seq
from exchange.engine import inputs
from exchange.engine.effects import (
    AccountAnswer,
    BookAnswer,
    FillsAnswer,
    OrderAnswer,
    OrdersAnswer,
    Refused,
    ReplicaAnswer,
    StatusAnswer,
    TradesAnswer,
    TransfersAnswer,
)
from exchange.engine.queries import PAGES_KEPT
from tests.support.engines import Engines

AAPL = plain_ticker("AAPL").symbol


def traded() -> Engines:
    engines = Engines(2)
    for price in (1000, 1001, 1002):
        engines.sell(2, price, 2)
    engines.buy(1, 1001, 3)
    return engines


def test_fills_are_gapless_per_account() -> None:
    """Interfaces 1: `seq` from 1, at most `limit` a page."""
    engines = traded()
    page = engines.ask(1, inputs.FillsQuery(engines.account(1), Seq(1), 1))
    rest = engines.ask(1, inputs.FillsQuery(engines.account(1), Seq(2), 100))

    assert isinstance(page, FillsAnswer)
    assert isinstance(rest, FillsAnswer)
    assert ([fill.seq for fill, _ in page.fills], page.next_seq) == ([1], 2)
    assert ([fill.seq for fill, _ in rest.fills], rest.next_seq) == ([2], 3)
    assert [fill.is_maker for fill, _ in page.fills + rest.fills] == [False, False]


def test_book_is_the_whole_market_best_first() -> None:
    """B1: own orders and replicas as one book."""
    engines = traded()
    engines.sell(1, 1001, 7)
    book = engines.ask(1, inputs.BookQuery(AAPL, 10))

    assert isinstance(book, BookAnswer)
    assert book.books[0].asks == [(1001, 8, 2), (1002, 2, 1)]
    assert book.books[0].bids == []


def test_orders_of_a_dead_node_are_in_no_book_until_it_is_back() -> None:
    """B5: what is shown is what is matched, or the book is crossed for the whole outage."""
    engines = Engines(2)
    engines.sell(2, 1001, 2)
    engines.kill(2)
    engines.settle()
    engines.buy(1, 1002, 3)
    away = engines.ask(1, inputs.BookQuery(AAPL, None))
    engines.restart(2)
    engines.link_all()
    back = engines.ask(1, inputs.BookQuery(AAPL, None))

    assert isinstance(away, BookAnswer)
    assert (away.books[0].asks, away.books[0].bids) == ([], [(1002, 3, 1)])
    assert isinstance(back, BookAnswer)
    assert (back.books[0].asks, back.books[0].bids) == ([], [(1002, 1, 1)]), "they have traded"


def test_trades_are_those_decided_here() -> None:
    """S8: the tape is the decider's."""
    engines = traded()
    tapes = [engines.ask(node, inputs.TradesQuery(AAPL, Seq(1), 10)) for node in (1, 2)]

    assert isinstance(tapes[0], TradesAnswer)
    assert isinstance(tapes[1], TradesAnswer)
    assert tapes[0].trades == []
    assert [(trade.seq, trade.price) for trade in tapes[1].trades] == [(1, 1000), (2, 1001)]


def test_orders_are_listed_in_pages() -> None:
    """Interfaces 1: oldest first, open or finished or all."""
    engines = traded()
    account = engines.account(2)
    all_of = engines.ask(2, inputs.OrdersQuery(account, None, None, Seq(1), 2))
    opened = engines.ask(2, inputs.OrdersQuery(account, True, AAPL, Seq(0), 10))
    closed = engines.ask(2, inputs.OrdersQuery(account, False, None, Seq(1), 10))

    assert isinstance(all_of, OrdersAnswer)
    assert isinstance(opened, OrdersAnswer)
    assert isinstance(closed, OrdersAnswer)
    assert (len(all_of.orders), all_of.next_cursor) == (2, 3)
    assert [order.price for order in opened.orders] == [1001, 1002]
    assert [order.status for order in closed.orders] == ["filled"]


def test_orders_are_found_by_client_order_id() -> None:
    """Interfaces 1, `order.get`."""
    engines = traded()
    order_id = engines.buy(1, 900, 1, client_order_id="mine")
    by_id = engines.ask(1, inputs.OrderQuery(engines.account(1), None, "mine"))
    foreign = engines.ask(2, inputs.OrderQuery(engines.account(2), OrderId(order_id)))

    assert isinstance(by_id, OrderAnswer)
    assert by_id.order_id == order_id
    assert isinstance(foreign, Refused)


def test_balances_and_transfers_are_told_exactly() -> None:
    """M3."""
    engines = traded()
    account = engines.ask(1, inputs.AccountQuery(engines.account(1)))
    moved = engines.ask(1, inputs.TransfersQuery(engines.account(1), Seq(1), 10))

    assert isinstance(account, AccountAnswer)
    assert isinstance(moved, TransfersAnswer)
    told = {row.asset: (row.available, row.held) for row in account.balances}
    assert told == {"AAPL": (1_000_003, 0), "USD": (996_999, 0)}
    assert [transfer.amount for transfer, _ in moved.transfers] == [1_000_000, 1_000_000]


def test_quiescence_is_read_from_the_status() -> None:
    """Interfaces 1, `node.status`."""
    engines = traded()
    status = engines.ask(1, inputs.StatusQuery())

    assert isinstance(status, StatusAnswer)
    assert status.offers_in_doubt == 0
    (peer,) = status.peers
    assert (peer.node_id, peer.state) == (NodeId(2), "synced")
    assert peer.sent_seq == peer.acknowledged_seq
    other = engines.ask(2, inputs.StatusQuery())
    assert isinstance(other, StatusAnswer)
    assert peer.sum == other.sum


def test_unknown_things_are_refused() -> None:
    """Bad input gets a code and a sentence."""
    engines = traded()
    stranger = AccountId(engines.account(1) + 9)
    ghost = plain_ticker("GHOST").symbol
    questions: list[inputs.Query] = [
        inputs.AccountQuery(stranger),
        inputs.OrderQuery(stranger, None, "x"),
        inputs.OrdersQuery(stranger, None, None, Seq(1), 1),
        inputs.FillsQuery(stranger, Seq(1), 1),
        inputs.TransfersQuery(stranger, Seq(1), 1),
        inputs.BookQuery(ghost, 1),
        inputs.TradesQuery(ghost, Seq(1), 1),
        inputs.ReplicaQuery(NodeId(9), 0, 1),
    ]

    for question in questions:
        answer = engines.ask(1, question)
        assert isinstance(answer, Refused)
        assert answer.code.startswith("unknown_")


def test_orders_of_one_symbol_are_those_of_no_other() -> None:
    """Interfaces 1."""
    engines = traded()
    other = plain_ticker("MSFT").symbol
    answer = engines.ask(2, inputs.OrdersQuery(engines.account(2), None, other, Seq(0), 10))

    assert isinstance(answer, OrdersAnswer)
    assert answer.orders == []


def replica(engines: Engines, cursor: int = 0, limit: int = 1000) -> ReplicaAnswer:
    answer = engines.ask(1, inputs.ReplicaQuery(NodeId(2), cursor, limit))
    assert isinstance(answer, ReplicaAnswer)
    return answer


def test_a_replica_is_told_in_pages_with_how_far_it_is() -> None:
    """Interfaces section 5: `recover-node` restores orders from it."""
    engines = traded()
    level, proof = replica(engines), engines.engine(2).proof
    engines.kill(2)
    engines.settle()
    first, second = replica(engines, limit=1), replica(engines, cursor=1)

    assert (level.is_linked, first.is_linked, first.is_complete) == (True, False, True)
    assert (first.epoch, first.seq, first.seen_lsn) == (level.epoch, level.seq, proof.lsn)
    assert (first.count, first.sum) == (2, level.sum)
    assert (len(first.orders), first.next_cursor, second.next_cursor) == (1, 1, None)
    prices = [(order.price, order.open) for order, _ in first.orders + second.orders]
    assert sorted(prices) == [(1001, 1), (1002, 2)]


def test_a_replica_is_not_complete_before_its_owner_was_heard_or_in_quarantine() -> None:
    """B7: what a quarantined peer says of its book is not taken in."""
    engines = traded()
    engines.engine(1).soft.links[NodeId(2)].quarantine = "it lies"
    assert not replica(engines).is_complete

    engines.kill(1)
    engines.kill(2)
    engines.machines[1].boot()
    engines.step(1, inputs.KnowPeer(NodeId(2), b"", ""))
    assert (replica(engines).is_complete, replica(engines).count) == (False, 0)


def test_an_order_whose_instrument_was_never_told_is_counted_and_not_shown() -> None:
    """B7: a peer that breaks the protocol breaks nothing here."""
    engines = traded()
    del engines.state(1).instruments[AAPL]

    assert (replica(engines).count, replica(engines).orders) == (2, [])


def test_listing_of_many_open_orders_goes_on_while_they_come_and_go() -> None:
    """C3: pages of a long listing cost no more than their orders, and are whole all the same."""
    engines = Engines(2)
    account = engines.account(1)
    places = [engines.place(1, Side.SELL, 1_000, 1) for _ in range(PAGES_KEPT + 500)]
    for first in range(0, len(places), 500):
        engines.step(1, *places[first : first + 500])
        engines.settle()
    before = sorted(engines.state(1).orders)
    seen: list[OrderId] = []
    cursor = Seq(1)
    while cursor is not None:
        page = engines.ask(1, inputs.OrdersQuery(account, True, None, cursor, 700))
        assert isinstance(page, OrdersAnswer)
        seen += [order.order_id for order in page.orders]
        if len(seen) == 700:
            engines.step(1, inputs.CancelOrder(0, account, before[800]))
            engines.sell(1, 1_000, 1)
        cursor = page.next_cursor  # type: ignore[assignment]  # None ends it

    assert seen == [key for key in before if key != before[800]] + seen[-1:]
    assert seen[-1] not in before
