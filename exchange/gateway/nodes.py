"""The nodes as the gateway reaches them: one connection each, whoever is asking (C7).

A request carries its user's key; the key names the account, the account its node, and the
node decides.  A node that restarts is waited for and asked again: what is sent twice is safe
to send twice, or it is not repeated.  Only its own accounts notice, with "not now".

A symbol that nobody has listed yet makes the node ask the coordinator, and whatever stands
behind it on the same connection waits.  Such requests take a connection of their own.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import trio

from exchange.client import results
from exchange.client.cluster import Cluster
from exchange.client.connection import NOT_NOW, Connection, Request
from exchange.client.errors import (
    BadAnswer,
    ClientError,
    LinkLost,
    OutcomeUnknown,
    Refused,
    Unreachable,
)
from exchange.client.link import Answer, OnEvent, Outcome
from exchange.client.settings import Endpoint
from exchange.node.embedding import Dial
from exchange.process.logs import Event

REQUEST_S = 6.0  # of a node that is there; longer than it needs to suspect a peer (B5)
REACH_S = 3.0  # a restarted node is back within 2 s; after this its users hear "not now"
LOOK_S = 1.0  # between two questions to the coordinator about what is new
LOOK_WITHIN_S = 2.0
PAUSE_S = 0.05

FINAL = (Answer, Refused, BadAnswer)

Answered = Answer | ClientError


class Nodes:
    """All nodes of a cluster, and its coordinator."""

    def __init__(
        self,
        nursery: trio.Nursery,
        coordinator: str,
        *,
        local_id: Callable[[], int] = lambda: 0,
        dial_local: Dial | None = None,
        tell: Callable[[Event], object] | None = None,  # a node tells of its coordinator itself
    ) -> None:
        self._cluster = _Cluster(nursery, Endpoint(coordinator=coordinator), reach=REACH_S)
        self._cluster.local_id, self._cluster.dial_local = local_id, dial_local
        self._nursery = nursery
        self._tell = tell
        self._is_alone = False
        self._slow: dict[int, Connection] = {}
        self._known: list[results.NodeInfo] = []
        self._symbols: set[str] = set()
        self._looked = -LOOK_S
        self._looking = trio.Lock()
        self.cluster_id = ""

    @property
    def local_id(self) -> int:
        """Return the node in this process, 0 if there is none."""
        return self._cluster.local_id()

    @property
    def known_ids(self) -> list[int]:
        """Return the nodes known so far."""
        return sorted({*(node.node_id for node in self._known), self.local_id} - {0})

    def is_up(self, node_id: int) -> bool:
        """Tell whether a node was there when it was last asked."""
        return self._cluster.node(node_id).is_connected

    def is_away(self, node_id: int) -> bool:
        """Tell whether a node was lost; one that was never asked is not."""
        return self._cluster.node(node_id).is_away

    def feed_connection(self, node_id: int, on_event: OnEvent) -> Connection:
        """Return a connection of its own for the feed of a node."""
        dial = partial(self._cluster.dial_node, node_id)
        name = f"the feed of node {node_id}"
        return Connection(self._nursery, dial, name=name, on_event=on_event)

    async def ask(
        self, node_id: int, request: Request, *, symbol: str = "", within: float = REQUEST_S
    ) -> Answer:
        """Ask one node; raises ClientError."""
        connection = await self._connection_for(node_id, symbol)
        return await connection.call(request, within=within)

    async def ask_coordinator(self, request: Request, *, within: float = REQUEST_S) -> Answer:
        """Ask the coordinator; raises ClientError."""
        try:
            return await self._cluster.coordinator.call(request, within=within)
        except Unreachable as error:
            raise Refused("unavailable", "the coordinator is not there just now") from error

    async def ask_all(
        self, node_id: int, requests: Sequence[Request], symbols: set[str]
    ) -> list[Answered]:
        """Send many requests that are safe to repeat down one connection; answers in order."""
        unlisted = next((symbol for symbol in sorted(symbols) if symbol not in self._symbols), "")
        connection = await self._connection_for(node_id, unlisted)
        batch = _Batch(connection, requests)
        with trio.move_on_after(REQUEST_S):
            await batch.run()
        return batch.answers()

    async def is_known(self, node_id: int) -> bool:
        """Tell whether there is such a node: keys name nodes, and anyone can make one up."""
        if node_id not in self.known_ids:
            await self._look()
        return node_id in self.known_ids

    async def node_ids(self) -> list[int]:
        """Return all nodes, as known a second ago: nobody waits for a coordinator that is away."""
        if not self._known:
            await self._look()
        elif not self._looking.locked():
            self._nursery.start_soon(self._look)
        return self.known_ids

    async def _connection_for(self, node_id: int, symbol: str) -> Connection:
        """Return the connection for a request about a symbol, empty if it needs no listing."""
        if not symbol or symbol in self._symbols:
            return self._cluster.node(node_id)
        await self._look()
        if symbol in self._symbols:
            return self._cluster.node(node_id)
        connection = self._slow.get(node_id)
        if connection is None:
            dial = partial(self._cluster.dial_node, node_id)
            connection = Connection(self._nursery, dial, name=f"node {node_id}", reach=REACH_S)
            self._slow[node_id] = connection
        return connection

    async def _look(self) -> None:
        """Learn of new nodes and instruments, at most once in a while; without one, never mind."""
        async with self._looking:
            now = trio.current_time()  # noqa: TID251 - how often, not when
            if now - self._looked < LOOK_S:
                return
            self._looked = now
            try:
                info = await self._cluster.info(within=LOOK_WITHIN_S)
                listed = await self._cluster.instruments(within=LOOK_WITHIN_S)
            except ClientError as error:
                if self._tell is not None and not self._is_alone:
                    self._tell(Event("coordinator_away", f"nobody tells of the nodes: {error}"))
                self._is_alone = True
                return
            self._is_alone = False
            self._known, self.cluster_id = info.nodes, info.cluster
            self._symbols = {instrument.symbol for instrument in listed}


class _Cluster(Cluster):
    """A cluster, one node of which may be in this process."""

    local_id: Callable[[], int]
    dial_local: Dial | None

    async def dial_node(self, node_id: int, *, is_named: bool = False) -> trio.abc.Stream:
        """Connect to a node; raises OSError."""
        if self.dial_local is not None and node_id == self.local_id():
            return await self.dial_local()
        return await super().dial_node(node_id, is_named=is_named)


class _Batch:
    """Requests that go together, and again together where the connection broke."""

    def __init__(self, connection: Connection, requests: Sequence[Request]) -> None:
        self._connection = connection
        self._requests = requests
        unsent: Outcome = LinkLost("not sent yet", is_sent=False)
        self._outcomes = dict.fromkeys(range(len(requests)), unsent)  # but for those in flight
        self._sent: set[int] = set()  # with no answer: it may have happened
        self._left = 0
        self._done = trio.Event()

    async def run(self) -> None:
        """Send until all are answered; the caller has a deadline."""
        waiting = list(range(len(self._requests)))
        while waiting:
            try:
                await self._connection.connect(reach=math.inf if self._sent else REACH_S)
            except Unreachable:
                return
            self._left, self._done = len(waiting), trio.Event()
            for place in waiting:
                self._outcomes.pop(place, None)
                self._connection.submit(self._requests[place], partial(self._take, place))
            await self._done.wait()
            waiting = [place for place in waiting if self._is_open(place)]
            if waiting:
                await trio.sleep(PAUSE_S)

    def answers(self) -> list[Answered]:
        """Return what is known of each."""
        return [self._answer(place) for place in range(len(self._requests))]

    def _take(self, place: int, outcome: Outcome) -> None:
        self._outcomes[place] = outcome
        if isinstance(outcome, LinkLost):
            if outcome.is_sent:
                self._sent.add(place)
        else:
            self._sent.discard(place)
        self._left -= 1
        if not self._left:
            self._done.set()

    def _is_open(self, place: int) -> bool:
        outcome = self._outcomes[place]
        if isinstance(outcome, Refused):
            return outcome.code in NOT_NOW
        return isinstance(outcome, LinkLost)

    def _answer(self, place: int) -> Answered:
        outcome = self._outcomes.get(place)
        if isinstance(outcome, FINAL):
            return outcome
        if outcome is None or place in self._sent:
            name = self._requests[place].client_order_id
            return OutcomeUnknown("no answer in time: it may have happened or not", name)
        return Unreachable("the node is not there")
