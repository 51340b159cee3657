"""Links to the other nodes: dialing, accepting, batching, closing (S6, C5).

The node with the lower id dials, and comes again after a growing, jittered delay.  The first
line says who dials whom; after it both sides send batches.  All messages for a peer of one
turn travel in one batch, stamped with the engine's clock and proof (S2, C3).

The node with the higher id knocks while it has no link: it says where it is now, and hangs
up.  So a node that comes back is dialed at once, even at an address that nobody knows yet.

    what happens                                 | what becomes of the link
    ---------------------------------------------+--------------------------------------
    a line that is no batch, or not of this link | closed, and told on stderr
    `CloseLink`                                  | closed
    `CloseLink` behind a refusal                 | heard no more; the peer has `LAST_S` to read it
    more than UNSENT_MAX unsent                  | closed: a snapshot is cheaper than memory
    nothing read by the peer for `STALL_S`       | closed
    the other side closes it                     | closed

Whatever ends a link, the engine hears `LinkClosed` once.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import trio

from exchange.coordinator.secret import NotProven
from exchange.domain.units import Clock, Epoch, Micros, NodeId
from exchange.engine.effects import CloseLink, Send, WantMore
from exchange.engine.inputs import (
    Input,
    LinkClosed,
    LinkOpened,
    LinkRefused,
    PeerBatch,
    PeerBroke,
    SnapshotMore,
)
from exchange.engine.messages import Batch, PeerMessage, Refusal, SealedProof, Session
from exchange.node.errors import Stalled
from exchange.node.outbox import Outbox
from exchange.node.sockets import Wire
from exchange.process.errors import BadAddress
from exchange.process.logs import Event
from exchange.process.sockets import BROKEN
from exchange.process.tls import node_name
from exchange.wire.errors import FramingError, RemoteProtocolError
from exchange.wire.lines import LineSplitter
from exchange.wire.peers import (
    BATCH_BYTES_MAX,
    LINK_VERSION,
    REFUSED,
    NodeHello,
    check_version,
    decode_batch,
    encode_batch,
    encode_hello,
)

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 1.0
CONNECT_S = 3.0
FIRST_BATCH_S = 10.0
LAST_S = 1.0  # for a peer to read why it is refused: closed at once, TCP may lose it
READ_SIZE = 1 << 18
UNSENT_MAX = 1 << 26  # bytes: a peer this far behind comes level by snapshot

Dial = Callable[[str], Awaitable[Wire]]


class EngineView(Protocol):
    """What links read of the engine."""

    @property
    def clock(self) -> Clock: ...
    @property
    def wall(self) -> Micros: ...
    @property
    def proof(self) -> SealedProof: ...


class Inbox(Protocol):
    """Where links put what arrives: the hub."""

    def feed(self, items: list[Input], source: int = ...) -> None: ...
    async def wait_room(self) -> None: ...


class Who(Protocol):
    """Who this node is, and where the others are."""

    node_id: NodeId
    cluster: str
    epoch: Epoch
    own_address: str

    def address(self, peer: NodeId) -> str:
        """Return where a peer was last; empty if unknown."""

    def hear(self, peer: NodeId, address: str) -> None:
        """Take note of where a peer says it is."""


class Link:
    """One connection to a peer, from the moment its session is known."""

    def __init__(self, wire: Wire, peer: NodeId, session: Session, outbox: Outbox) -> None:
        self.wire = wire
        self.peer = peer
        self.session = session
        self.outbox = outbox
        self.messages: list[PeerMessage] = []  # of this turn
        self.wants_more = False  # of a snapshot, once the outbox is empty
        self.scope = trio.CancelScope()
        self.reason = "closed by the other side"
        self.over = trio.Event()  # the peer is refused, and not heard any more

    def close(self, reason: str) -> None:
        """End the link; the reason is for people."""
        if not self.scope.cancel_called:
            self.reason = reason
            self.outbox.close()
            self.scope.cancel()

    def close_soon(self, reason: str) -> None:
        """End the link once the peer has read the last that is said to it, or has not."""
        self.reason = reason
        self.over.set()

    async def end_when_over(self) -> None:
        """Give a refused peer the time to read why."""
        await self.over.wait()
        await trio.sleep(LAST_S)
        self.close(self.reason)


class Links:
    """All links of this node; the hub hands it what is to be sent."""

    def __init__(
        self,
        who: Who,
        engine: EngineView,
        inbox: Inbox,
        *,
        dial: Dial,
        tell: Callable[[str], None],
        jitter: random.Random,
        is_secured: bool = False,
    ) -> None:
        self._is_secured = is_secured  # a node must show a certificate of the id it claims
        self._who = who
        self._engine = engine
        self._inbox = inbox
        self._dial = dial
        self._tell = tell
        self._jitter = jitter
        self._links: dict[tuple[NodeId, Session], Link] = {}
        self._touched: dict[tuple[NodeId, Session], Link] = {}  # have messages to send
        self._counter = 0
        self._heard_of: dict[NodeId, trio.Event] = {}  # set when a peer may have a new address
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Hold the dialing tasks until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for peer in self._heard_of:
                nursery.start_soon(self._keep_in_touch, peer)
            await trio.sleep_forever()

    def know(self, peer: NodeId) -> None:
        """Hear of a peer, or of a new address; dial it, or knock there."""
        if peer == self._who.node_id:
            return
        if peer in self._heard_of:
            self._heard_of[peer].set()
            return
        self._heard_of[peer] = trio.Event()
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_in_touch, peer)

    @property
    def is_flushed(self) -> bool:
        """Tell whether every outbox is empty."""
        return not any(link.outbox.unsent for link in self._links.values())

    # What the hub hands over.

    def send(self, effect: Send) -> None:
        """Put a message into the batch of this turn; dropped if the session is over."""
        key = (effect.peer, effect.session)
        link = self._links.get(key)
        if link is not None:
            link.messages.append(effect.message)
            self._touched[key] = link

    def flush(self) -> None:
        """Send each peer its batch."""
        for link in self._touched.values():
            self._say(link)
            if link.outbox.unsent > UNSENT_MAX:
                link.close(f"node {link.peer} is {link.outbox.unsent} bytes behind")
            self._feed_more(link)
        self._touched.clear()

    def _say(self, link: Link) -> None:
        """Send a peer what this turn has for it, as one batch."""
        if link.messages:
            engine, said = self._engine, link.messages
            link.messages = []
            sender = self._who.node_id
            batch = Batch(link.session, engine.clock, engine.proof, said, sender, engine.wall)
            link.outbox.push(encode_batch(batch))

    def close_link(self, effect: CloseLink) -> None:
        """End a link because the engine says so; who is refused is told why (C3)."""
        link = self._links.get((effect.peer, effect.session))
        if link is None:
            return
        if any(isinstance(message, Refusal) for message in link.messages):
            self._say(link)
            link.close_soon(effect.reason)
        else:
            link.close(effect.reason)

    def want_more(self, effect: WantMore) -> None:
        """Ask the engine for the next chunk once the link has sent what it holds."""
        key = (effect.peer, effect.session)
        link = self._links.get(key)
        if link is not None:
            link.wants_more = True
            self._touched[key] = link

    def _feed_more(self, link: Link) -> None:
        if link.wants_more and not link.outbox.unsent:
            link.wants_more = False
            self._inbox.feed([SnapshotMore(link.peer, link.session)], -link.peer)

    # Dialing and accepting.

    async def _keep_in_touch(self, peer: NodeId) -> None:
        """Dial a higher id, knock at a lower one, for ever."""
        is_dialer = self._who.node_id < peer
        delay = BACKOFF_MIN_S
        while True:
            if is_dialer:
                has_spoken = await self._dial_once(peer)
                delay = BACKOFF_MIN_S if has_spoken else delay
            elif any(linked == peer for linked, _ in self._links):
                delay = BACKOFF_MAX_S
            else:
                await self._knock(peer)
            event = self._heard_of[peer]
            with trio.move_on_after(delay * self._jitter.uniform(0.5, 1.0)):
                await event.wait()
            if event.is_set():
                self._heard_of[peer] = trio.Event()
            delay = min(2 * delay, BACKOFF_MAX_S)

    async def _dial_once(self, peer: NodeId) -> bool:
        """Run one link, if the peer can be reached; tell whether it ever spoke."""
        wire = await self._connect(peer)
        if wire is None:
            return False
        self._counter += 1
        session = Session(self._who.epoch, self._counter)
        link = Link(wire, peer, session, Outbox(wire.stream, file=wire.file))
        link.outbox.push(encode_hello(self._hello(peer)))
        return await self._run(link, LineSplitter(BATCH_BYTES_MAX), [], LinkOpened(peer, session))

    async def _knock(self, peer: NodeId) -> None:
        """Ask a lower id to dial."""
        wire = await self._connect(peer)
        if wire is not None:
            async with wire.stream:
                with trio.move_on_after(CONNECT_S), suppress(*BROKEN):
                    line = encode_hello(self._hello(peer, address=self._who.own_address))
                    await wire.stream.send_all(line)

    async def _connect(self, peer: NodeId) -> Wire | None:
        address = self._who.address(peer)
        if not address:
            return None
        try:
            with trio.fail_after(CONNECT_S):
                wire = await self._dial(address)
            if not self._is_secured or wire.peer == node_name(peer):
                return wire
            await trio.aclose_forcefully(wire.stream)
            text = f"at {address} is not node {peer}: its certificate is of {wire.peer!r}"
            self._tell(Event("peer_certificate", text, peer=peer, address=address))
            return None
        except NotProven as error:
            refusal = f"what is at the address of node {peer} is not believed: {error}"
            self._inbox.feed([LinkRefused(peer, refusal)])
            return None
        except (OSError, trio.TooSlowError, BadAddress):
            return None

    def _hello(self, peer: NodeId, *, address: str = "") -> NodeHello:
        who = self._who
        return NodeHello(who.node_id, who.cluster, peer, LINK_VERSION, address=address)

    async def accept(
        self, wire: Wire, hello: NodeHello, splitter: LineSplitter, lines: list[bytes]
    ) -> None:
        """Run the link of a node that dialed us; `lines` came with its first line.

        Raises RemoteProtocolError where it may not be one, or FramingError.
        """
        self._check_hello(hello, wire.peer)
        peer = NodeId(hello.node_id)
        if hello.address:
            self._who.hear(peer, hello.address)
            self.know(peer)
            return
        with trio.move_on_after(FIRST_BATCH_S):
            while not lines:
                data = await wire.receive(READ_SIZE)
                if not data:
                    return
                lines = splitter.feed(data)
        if not lines:
            return
        session = decode_batch(lines[0]).session
        if (peer, session) in self._links:
            raise RemoteProtocolError("used_session", f"node {peer} is linked in this session")
        link = Link(wire, peer, session, Outbox(wire.stream, file=wire.file))
        await self._run(link, splitter, lines, None)

    def _check_hello(self, hello: NodeHello, shown: str) -> None:
        who = self._who
        is_shown = not self._is_secured or shown == node_name(NodeId(hello.node_id))
        if is_shown and hello.cluster == who.cluster and hello.node_id != who.node_id:
            self._check_version(hello)
        name = f"node {hello.node_id} of cluster {hello.cluster}"
        if not is_shown:
            refusal = f"{name} shows a certificate of {shown!r}"
        elif hello.cluster != who.cluster:
            refusal = f"{name} dialed a node of cluster {who.cluster}"
        elif hello.to != who.node_id:
            refusal = f"{name} looks for node {hello.to} at the address of node {who.node_id}"
        elif (hello.node_id > who.node_id) != bool(hello.address):
            refusal = f"{name} dialed node {who.node_id}: the lower id dials"
        else:
            return
        raise RemoteProtocolError("link_refused", refusal)

    def _check_version(self, hello: NodeHello) -> None:
        """Tell a node of another version so, and the own operator too (S6)."""
        try:
            check_version(hello.node_id, hello.version)
        except RemoteProtocolError as refusal:
            self._inbox.feed([LinkRefused(NodeId(hello.node_id), refusal.detail)])
            raise

    async def _run(
        self, link: Link, splitter: LineSplitter, lines: list[bytes], opened: LinkOpened | None
    ) -> bool:
        """Run a link to its end; tell whether the peer ever spoke."""
        key = (link.peer, link.session)
        self._links[key] = link
        link.outbox.on_empty = lambda: self._feed_more(link)
        if opened is not None:
            self._inbox.feed([opened], -link.peer)
        has_spoken = False
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, link)
                    nursery.start_soon(link.end_when_over)
                    has_spoken = await self._read(link, splitter, lines)
                    link.scope.cancel()
        finally:
            del self._links[key]
            self._touched.pop(key, None)
            link.outbox.close()
            self._inbox.feed([LinkClosed(link.peer, link.session)], -link.peer)
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(link.wire.stream)
        text = f"link to node {link.peer} ended: {link.reason}"
        self._tell(Event("link_ended", text, peer=link.peer, reason=link.reason))
        return has_spoken

    async def _write(self, link: Link) -> None:
        try:
            await link.outbox.run()
        except BROKEN:
            link.close("the connection broke")
        except Stalled:
            link.close(f"node {link.peer} stopped reading")

    async def _read(self, link: Link, splitter: LineSplitter, lines: list[bytes]) -> bool:
        has_spoken = False
        try:
            while True:
                if lines and not link.over.is_set():
                    has_spoken |= self._take(link, lines)
                    await self._inbox.wait_room()
                data = await link.wire.receive(READ_SIZE)
                if not data:
                    break
                lines = splitter.feed(data)
        except BROKEN:
            link.close("the connection broke")
        except (RemoteProtocolError, FramingError) as error:
            fault = f"node {link.peer} broke the protocol: {error}"
            refusal = f"what is at the address of node {link.peer} refused: {error.detail}"
            if error.code == REFUSED:
                self._inbox.feed([LinkRefused(link.peer, refusal)])
            elif has_spoken:  # it is the peer, and no stranger at its address
                self._inbox.feed([PeerBroke(link.peer, fault)])
            link.close(refusal if error.code == REFUSED else fault)
        return has_spoken and not link.over.is_set()

    def _take(self, link: Link, lines: list[bytes]) -> bool:
        """Feed a read's worth of batches; tell whether they say more than that we are refused.

        RemoteProtocolError if one is not of this link.
        """
        batches: list[Input] = []
        is_let_in = False
        for line in lines:
            batch = decode_batch(line)
            if batch.sender != link.peer or batch.session != link.session:
                raise RemoteProtocolError("foreign_batch", "a batch of another node or session")
            batches.append(PeerBatch(batch))
            is_let_in |= not all(isinstance(message, Refusal) for message in batch.messages)
        self._inbox.feed(batches, -link.peer)
        return is_let_in
