"""`exchange replay`: order flow against a running cluster, and whether all of it is right.

1. rehearse the flow with the naive book
2. list the instruments, open and fund the accounts
3. drive the flow (`drive`)
4. wait until the cluster is quiet, then compare
     fills    with the naive book on every line (sequential), and with the file's
     books    of all nodes with each other, and with the naive book's (sequential)
     replicas with their owners, by count and additive hash (B4)
     balances with what was deposited, exactly (S13)
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from time import perf_counter

import msgspec

from exchange.client.cluster import Cluster
from exchange.client.drive import Clock, Tally, Texts, drive_max, drive_sequential
from exchange.client.errors import ClientError
from exchange.client.flow import Action, Aggress, Flow
from exchange.client.halves import Trade, broken, gaps, join
from exchange.client.oracle import Plan, Step, rehearse
from exchange.client.quiescence import unequal_books, wait_quiescent
from exchange.client.results import Book, Fill
from exchange.client.traders import Progress, Traders, balances, lost_or_made, open_traders
from exchange.domain.naive_book import Level
from exchange.domain.units import Symbol

SHOWN_MAX = 20  # problems in a report; how many there are is said as well
Hits = Counter[str]  # key of the maker -> lots


class BookInUseError(ClientError):
    """The market has orders of others: nothing could be compared."""

    exit_code = 2


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Report(msgspec.Struct, frozen=True):
    """What a replay found; `is_right` is the verdict."""

    source: str
    pace: str
    nodes: int
    accounts: int
    instruments: int
    actions: int
    orders: int
    seconds: float
    orders_per_second: float
    actions_per_second: float
    trades: int
    fills: int
    acknowledged: Latency | None
    settled: Latency | None
    trade_lines: int  # aggressors whose fills the source names
    trade_lines_equal: int  # ... and whose fills were the same
    trade_lines_share: float | None
    is_naive_equal: bool | None  # on every line; None at full speed, where it need not be
    naive_different: list[str]
    is_books_equal: bool
    is_conserved: bool
    quiet_seconds: float  # from the last answer until the cluster was at rest
    refused: dict[str, int]
    repeated: int
    problems: int
    first_problems: list[str]

    @property
    def is_right(self) -> bool:
        """Tell whether everything is as it must be."""
        return self.is_naive_equal is not False and not self.problems


async def replay(
    cluster: Cluster,
    flow: Flow,
    *,
    source: str,
    pace: str,
    progress: Progress,
    clock: Clock | None = None,
) -> Report:
    """Drive a cluster with order flow and check everything; see above."""
    clock = clock or Clock()
    plan = rehearse(flow)
    node_ids = await cluster.node_ids()
    traders = await open_traders(cluster, flow, progress)
    await _check_empty(cluster, node_ids, traders)
    trades_before = await _trades(cluster, node_ids)
    drive = drive_sequential if pace == "sequential" else drive_max
    tally = await drive(traders, plan.steps, clock=clock, progress=progress)
    progress("waiting until the cluster is quiet", 0, 1)
    begun = perf_counter()
    statuses = await wait_quiescent(cluster, node_ids)
    quiet_seconds = perf_counter() - begun
    trades = sum(status.trades for status in statuses) - trades_before
    check = await _check(cluster, node_ids, traders, plan, tally, pace, progress)
    check.problems.extend(unequal_books(statuses))
    for client in traders.clients:
        await client.cancel_all()  # leave the market as it was: for the next replay
    return _report(plan, tally, check, source, pace, len(node_ids), trades, quiet_seconds)


class Check(msgspec.Struct):
    """What the comparison at the end found."""

    problems: list[str]
    naive_different: list[str]
    file_lines: int
    file_equal: int
    fills: int
    is_books_equal: bool
    is_conserved: bool


async def _check(
    cluster: Cluster,
    node_ids: Sequence[int],
    traders: Traders,
    plan: Plan,
    tally: Tally,
    pace: str,
    progress: Progress,
) -> Check:
    progress("comparing fills", 0, 1)
    trades, broken_halves = await fills_of(traders)
    hits = _hits(trades, traders, tally)
    different = _different(plan.steps, hits) if pace == "sequential" else []
    spoken, equal = _as_the_source_says(plan.steps, hits)
    progress("comparing books", 0, 1)
    unequal = await _compare_books(cluster, node_ids, traders, plan, pace)
    wrong = lost_or_made(traders, await balances(traders))
    problems = [*tally.problems, *broken_halves, *different, *unequal, *wrong]
    fills = sum(len(trade.makers) + len(trade.takers) for trade in trades.values())
    return Check(problems, different, spoken, equal, fills, not unequal, not wrong)


async def fills_of(traders: Traders) -> tuple[dict[str, Trade], list[str]]:
    """Return the trades of all accounts, and what is wrong with their fills."""
    found: list[Fill] = []
    wrong: list[str] = []
    for client in traders.clients:
        fills = await client.all_fills()
        missing = gaps(fills)
        if missing:
            user_id = client.credentials.user_id
            wrong.append(f"account {user_id}: fill {missing[0]} is missing or doubled")
        found.extend(fills)
    trades = join(found)
    return trades, [*wrong, *broken(trades)]


def _hits(trades: dict[str, Trade], traders: Traders, tally: Tally) -> dict[str, Hits]:
    """Return who hit whom: taker's key -> maker's key -> lots."""
    keys = {order_id: key for key, order_id in tally.order_ids.items()}
    texts = Texts(traders.instruments)
    hits: dict[str, Hits] = defaultdict(Counter)
    for trade in trades.values():
        for taker in trade.takers:
            maker = trade.makers[0].order_id if trade.makers else ""
            lots = texts.lots(Symbol(taker.symbol), taker.quantity)
            hits[keys.get(taker.order_id, taker.order_id)][keys.get(maker, maker)] += lots
    return hits


def _different(steps: Sequence[Step], hits: dict[str, Hits]) -> list[str]:
    """Name the lines on which the cluster did something else than the naive book."""
    expected: dict[str, Hits] = defaultdict(Counter)
    lines: dict[str, int] = {}
    for step in steps:
        if step.hits:
            lines[step.action.key] = step.action.line
        for hit in step.hits:
            expected[step.action.key][hit.key] += hit.quantity
    return [
        f"line {lines.get(key, 0)}: order {key} hit {dict(hits.get(key, {}))}, "
        f"the naive book {dict(expected.get(key, {}))}"
        for key in sorted({*expected, *hits}, key=lambda key: lines.get(key, 0))
        if expected.get(key, Counter()) != hits.get(key, Counter())
    ]


def _as_the_source_says(steps: Sequence[Step], hits: dict[str, Hits]) -> tuple[int, int]:
    """Return how many aggressors the source tells the fills of, and how many were the same."""
    spoken = equal = 0
    for action in (step.action for step in steps):
        if isinstance(action, Aggress) and action.expected is not None:
            told: Hits = Counter()
            for hit in action.expected:
                told[hit.key] += hit.quantity
            spoken += 1
            equal += told == hits.get(action.key, Counter())
    return spoken, equal


async def _compare_books(
    cluster: Cluster, node_ids: Sequence[int], traders: Traders, plan: Plan, pace: str
) -> list[str]:
    """Compare the whole book of every instrument on every node."""
    found = []
    texts = Texts(traders.instruments)
    for symbol in traders.instruments:
        books = [await cluster.book(node_id, symbol) for node_id in node_ids]
        for node_id, book in zip(node_ids[1:], books[1:], strict=True):
            if (book.bids, book.asks) != (books[0].bids, books[0].asks):
                found.append(f"{symbol}: nodes {node_ids[0]} and {node_id} show different books")
        if pace == "sequential" and not _is_naive(books[0], plan, symbol, texts):
            found.append(f"{symbol}: node {node_ids[0]} shows another book than the naive one")
    return found


def _is_naive(book: Book, plan: Plan, symbol: Symbol, texts: Texts) -> bool:
    def written(levels: Sequence[Level]) -> list[tuple[str, str, int]]:
        return [
            (texts.price(symbol, level.price), texts.quantity(symbol, level.quantity), level.orders)
            for level in levels
        ]

    depth = max(len(book.bids), len(book.asks))  # a server may not show more than so many
    bids, asks = written(plan.bids[symbol]), written(plan.asks[symbol])
    is_whole = len(bids) <= depth or len(asks) <= depth
    return is_whole and book.bids == bids[:depth] and book.asks == asks[:depth]


async def _check_empty(cluster: Cluster, node_ids: Sequence[int], traders: Traders) -> None:
    for symbol in traders.instruments:
        book = await cluster.book(node_ids[0], symbol, depth=1)
        if book.bids or book.asks:
            raise BookInUseError(
                f"{symbol} has open orders of others: they would trade with the replay, and "
                f"nothing could be compared; cancel them, or use a cluster of its own"
            )


async def _trades(cluster: Cluster, node_ids: Sequence[int]) -> int:
    return sum([(await cluster.status(node_id)).trades for node_id in node_ids])


def _report(
    plan: Plan,
    tally: Tally,
    check: Check,
    source: str,
    pace: str,
    nodes: int,
    trades: int,
    quiet_seconds: float,
) -> Report:
    actions: Sequence[Action] = plan.flow.actions
    seconds = max(tally.seconds, 1e-9)
    return Report(
        source=source,
        pace=pace,
        nodes=nodes,
        accounts=plan.flow.accounts,
        instruments=len(plan.flow.instruments),
        actions=len(actions),
        orders=tally.orders,
        seconds=round(tally.seconds, 3),
        orders_per_second=round(tally.orders / seconds, 1),
        actions_per_second=round(len(actions) / seconds, 1),
        trades=trades,
        fills=check.fills,
        acknowledged=latency(tally.acknowledged),
        settled=latency(tally.settled),
        trade_lines=check.file_lines,
        trade_lines_equal=check.file_equal,
        trade_lines_share=check.file_equal / check.file_lines if check.file_lines else None,
        is_naive_equal=not check.naive_different if pace == "sequential" else None,
        naive_different=check.naive_different[:SHOWN_MAX],
        is_books_equal=check.is_books_equal,
        is_conserved=check.is_conserved,
        quiet_seconds=round(quiet_seconds, 3),
        refused=dict(tally.refused),
        repeated=tally.repeated,
        problems=len(check.problems),
        first_problems=check.problems[:SHOWN_MAX],
    )


def latency(seconds: Sequence[float]) -> Latency | None:
    """Return percentiles, None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return Latency(len(ordered), at(0.5), at(0.9), at(0.99), round(1000 * ordered[-1], 3))
