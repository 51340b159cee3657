"""Links carry batches both ways, and end when anything about them is wrong."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

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
from exchange.engine.messages import Batch, PeerMessage, Refusal, Resync, Session
from exchange.node import links as module
from exchange.node.links import Links
from exchange.node.sockets import Wire
from exchange.wire.answers import error_line
from exchange.wire.errors import RemoteProtocolError
from exchange.wire.lines import LineSplitter
from exchange.wire.peers import (
    BATCH_BYTES_MAX,
    LINK_VERSION,
    NodeHello,
    decode_batch,
    decode_hello,
    encode_batch,
)
from tests.support.proofs import a_proof

Far = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]


class Who:
    node_id = NodeId(2)
    cluster = "test"
    epoch = Epoch(5)
    own_address = "127.0.0.1:7402"

    def __init__(self) -> None:
        self.heard: dict[NodeId, str] = {}

    def address(self, peer: NodeId) -> str:
        return self.heard.get(peer, f"127.0.0.1:{7400 + peer}")

    def hear(self, peer: NodeId, address: str) -> None:
        self.heard[peer] = address


class Engine:
    clock = Clock(77)
    wall = Micros(88)
    proof = a_proof(9)


class Inbox:
    def __init__(self) -> None:
        self.items: list[Input] = []

    def feed(self, items: list[Input], source: int = 0) -> None:
        self.items += items

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()


class Scene:
    """The links of node 2, and the far ends of what it dials."""

    def __init__(
        self, dial: Callable[[str], Wire] | None = None, *, is_secured: bool = False
    ) -> None:
        self.shown = ""  # the name in the certificate of whoever is dialed
        self.inbox = Inbox()
        self.dialed: list[str] = []
        self.far: list[Far] = []
        self.told: list[str] = []
        self.is_reachable = True
        self.links = Links(
            Who(),
            Engine(),
            self.inbox,
            dial=self._dial,
            tell=self.told.append,
            jitter=random.Random(1),
            is_secured=is_secured,
        )

    async def _dial(self, address: str) -> Wire:
        self.dialed.append(address)
        if not self.is_reachable:
            raise OSError("nobody there")
        near, far = trio.testing.memory_stream_pair()
        self.far.append(far)
        return Wire(near, peer=self.shown)

    def accept(self, nursery: trio.Nursery, hello: NodeHello, *lines: bytes) -> Far:
        near, far = trio.testing.memory_stream_pair()
        splitter = LineSplitter(BATCH_BYTES_MAX)
        nursery.start_soon(self.links.accept, Wire(near), hello, splitter, list(lines))
        return far

    def send(self, peer: int, session: Session, *messages: PeerMessage) -> None:
        for message in messages:
            self.links.send(Send(NodeId(peer), session, message))
        self.links.flush()


DIALED = Session(Epoch(5), 1)  # the first session that node 2 makes
THEIRS = Session(Epoch(3), 8)
HELLO = NodeHello(1, "test", 2, LINK_VERSION)


def a_batch(session: Session, sender: int, *messages: PeerMessage) -> Batch:
    return Batch(session, Clock(5), a_proof(1), list(messages), NodeId(sender))


def a_line(session: Session, sender: int, *messages: PeerMessage) -> bytes:
    return encode_batch(a_batch(session, sender, *messages)).strip()


async def test_the_lower_id_dials() -> None:
    """S6."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        await trio.testing.wait_all_tasks_blocked()

        assert scene.dialed == ["127.0.0.1:7403"]
        assert scene.inbox.items == [LinkOpened(NodeId(3), DIALED)]
        hello = decode_hello(bytes(await scene.far[0].receive_some()).strip())
        assert hello == NodeHello(2, "test", 3, LINK_VERSION)
        nursery.cancel_scope.cancel()


async def test_the_higher_id_knocks_until_it_is_dialed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """C5: a restarted node tells its peers where it is now."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(1))
        await trio.sleep(5)
        knocks = len(scene.dialed)
        assert knocks > 3
        line = bytes(await scene.far[0].receive_some()).strip()
        assert decode_hello(line) == NodeHello(2, "test", 1, LINK_VERSION, address="127.0.0.1:7402")
        assert scene.inbox.items == [], "a knock is no link"

        scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.sleep(5)
        assert len(scene.dialed) <= knocks + 1
        nursery.cancel_scope.cancel()


async def test_who_knocks_is_dialed_at_its_new_address(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """C5."""
    scene = Scene()
    knock = NodeHello(3, "test", 2, LINK_VERSION, address="127.0.0.1:9999")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.accept(nursery, knock)
        await trio.testing.wait_all_tasks_blocked()

        assert scene.dialed == ["127.0.0.1:9999"]
        nursery.cancel_scope.cancel()


async def test_messages_of_a_turn_share_a_batch_with_clock_and_proof() -> None:
    """S2, C3, E6."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        await trio.testing.wait_all_tasks_blocked()
        await scene.far[0].receive_some()

        scene.send(3, DIALED, Resync(), Resync())
        await trio.testing.wait_all_tasks_blocked()

        batch = decode_batch(bytes(await scene.far[0].receive_some()).strip())
        expected = Batch(
            DIALED, Engine.clock, Engine.proof, [Resync(), Resync()], NodeId(2), Engine.wall
        )
        assert batch == expected
        nursery.cancel_scope.cancel()


async def test_batches_of_one_read_are_fed_in_one_go() -> None:
    """E6."""
    scene = Scene()
    line = a_line(THEIRS, 1, Resync())
    async with trio.open_nursery() as nursery:
        far = scene.accept(nursery, HELLO, line, line)
        await trio.testing.wait_all_tasks_blocked()
        await far.send_all(line + b"\n" + line + b"\n")
        await trio.testing.wait_all_tasks_blocked()

        assert scene.inbox.items == [PeerBatch(a_batch(THEIRS, 1, Resync()))] * 4
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "line",
    [
        a_line(THEIRS, 3, Resync()),
        a_line(Session(Epoch(3), 9), 1, Resync()),
        b'{"type":"batch"}',
        b'"1-1"',
    ],
    ids=["another sender", "another session", "malformed", "a client's"],
)
async def test_line_that_is_not_of_this_link_ends_it(line: bytes) -> None:
    """B7: a peer speaks for itself, in one session."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        far = scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.testing.wait_all_tasks_blocked()
        await far.send_all(line + b"\n")

        with pytest.raises(trio.BrokenResourceError):
            await _read_to_end(far)
    assert scene.inbox.items[-1] == LinkClosed(NodeId(1), THEIRS)
    assert "broke the protocol" in scene.told[-1]
    (broke,) = [item for item in scene.inbox.items if isinstance(item, PeerBroke)]
    assert "broke the protocol" in broke.reason, "the engine quarantines it"


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (NodeHello(1, "other", 2, LINK_VERSION), "cluster test"),
        (NodeHello(1, "test", 4, LINK_VERSION), "looks for node 4"),
        (NodeHello(3, "test", 2, LINK_VERSION), "the lower id dials"),
        (NodeHello(1, "test", 2, LINK_VERSION, address="127.0.0.1:1"), "the lower id dials"),
    ],
)
async def test_a_node_that_has_no_business_here_is_refused(hello: NodeHello, why: str) -> None:
    """C3: two nodes given each other's addresses, or each other's directories."""
    scene = Scene()
    splitter = LineSplitter(BATCH_BYTES_MAX)

    with pytest.raises(RemoteProtocolError, match=why):
        await scene.links.accept(Wire(trio.testing.memory_stream_pair()[0]), hello, splitter, [])

    assert scene.inbox.items == []


async def test_a_node_of_another_version_is_told_so_on_both_sides() -> None:
    """S6: not that its snapshot does not add up; it is in the status of both nodes as well."""
    scene = Scene()
    hello = NodeHello(1, "test", 2, LINK_VERSION + 1)
    told = f"node 1 speaks link version {LINK_VERSION + 1}, this node {LINK_VERSION}"
    with pytest.raises(RemoteProtocolError, match=told):
        await scene.links.accept(
            Wire(trio.testing.memory_stream_pair()[0]), hello, LineSplitter(1 << 20), []
        )
    (heard,) = scene.inbox.items
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        await trio.testing.wait_all_tasks_blocked()
        await scene.far[0].send_all(error_line("other_version", told))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    refused = [item for item in scene.inbox.items if isinstance(item, LinkRefused)]

    assert isinstance(heard, LinkRefused)
    assert told in heard.reason
    assert "upgrade the one that is behind" in heard.reason
    assert (refused[-1].peer, told in refused[-1].reason) == (3, True)


async def test_a_refused_peer_is_told_why_before_the_link_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """C3: an old copy that dials must hear of it; what it says meanwhile is not heard."""
    scene, began = Scene(), autojump_clock.current_time()
    refusal = Refusal("an old copy", a_proof(9))
    async with trio.open_nursery() as nursery:
        far = scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.testing.wait_all_tasks_blocked()
        scene.links.send(Send(NodeId(1), THEIRS, refusal))
        scene.links.close_link(CloseLink(NodeId(1), THEIRS, "an old copy"))
        await far.send_all(a_line(THEIRS, 1, Resync()) + b"\n")

        said = decode_batch(bytes(await far.receive_some()).strip())
        rest = await far.receive_some()  # closed, though the far end has not closed it

    assert said.messages == [refusal]
    assert rest == b""
    assert [type(item) for item in scene.inbox.items] == [PeerBatch, LinkClosed]
    assert autojump_clock.current_time() - began <= module.LAST_S


async def test_a_dialer_that_is_refused_backs_off(autojump_clock: trio.testing.MockClock) -> None:
    """C3: a refusal is no reason to come again at once."""
    scene, began = Scene(), autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        while autojump_clock.current_time() < began + 20:
            await trio.testing.wait_all_tasks_blocked()
            if len(scene.far) == len(scene.dialed):
                session = Session(Epoch(5), len(scene.far))
                refusal = Refusal("an old copy", None)
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await scene.far[-1].send_all(a_line(session, 3, refusal) + b"\n")
                    await scene.far[-1].aclose()
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()

    assert len(scene.dialed) < 60


async def test_a_session_is_linked_once() -> None:
    """S6: of two sockets with one session the second is refused."""
    scene = Scene()
    line = a_line(THEIRS, 1, Resync())
    async with trio.open_nursery() as nursery:
        scene.accept(nursery, HELLO, line)
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(RemoteProtocolError, match="linked in this session"):
            await scene.links.accept(
                Wire(trio.testing.memory_stream_pair()[0]), HELLO, LineSplitter(1 << 20), [line]
            )
        nursery.cancel_scope.cancel()


async def test_closed_link_is_told_once_and_later_messages_are_dropped() -> None:
    """S6: what is of no current session is nobody's."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.testing.wait_all_tasks_blocked()

        scene.links.close_link(CloseLink(NodeId(1), THEIRS, "suspected"))
        await trio.testing.wait_all_tasks_blocked()
        scene.send(1, THEIRS, Resync())

    assert scene.inbox.items[1:] == [LinkClosed(NodeId(1), THEIRS)]
    assert scene.links.is_flushed


async def test_dialer_comes_again_with_a_new_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """S6, faults 2.17: links reconnect by themselves."""
    scene = Scene()
    scene.is_reachable = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        await trio.sleep(10)
        tries = len(scene.dialed)
        assert 10 <= tries <= 25, "about one a second"

        scene.is_reachable = True
        await trio.sleep(2)
        await scene.far[0].aclose()
        await trio.sleep(2)

        opened = [item for item in scene.inbox.items if isinstance(item, LinkOpened)]
        assert opened == [
            LinkOpened(NodeId(3), Session(Epoch(5), 1)),
            LinkOpened(NodeId(3), Session(Epoch(5), 2)),
        ]
        nursery.cancel_scope.cancel()


async def test_a_new_address_is_dialed_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """C5."""
    scene = Scene()
    scene.is_reachable = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        scene.links.know(NodeId(3))
        await trio.sleep(5)
        scene.is_reachable = True
        begun = autojump_clock.current_time()

        scene.links.know(NodeId(3))
        await trio.testing.wait_all_tasks_blocked()

        assert autojump_clock.current_time() == begun
        assert len(scene.far) == 1
        nursery.cancel_scope.cancel()


async def test_snapshot_goes_on_when_the_link_has_sent_what_it_holds() -> None:
    """B2: chunks never pile up in memory."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.testing.wait_all_tasks_blocked()
        scene.inbox.items.clear()

        scene.links.send(Send(NodeId(1), THEIRS, Resync()))
        scene.links.want_more(WantMore(NodeId(1), THEIRS))
        scene.links.flush()
        assert scene.inbox.items == [], "one chunk is waiting"
        await trio.testing.wait_all_tasks_blocked()

        assert scene.inbox.items == [SnapshotMore(NodeId(1), THEIRS)]
        nursery.cancel_scope.cancel()


async def test_a_link_too_far_behind_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: a slow peer comes level by snapshot, memory stays bounded."""
    monkeypatch.setattr(module, "UNSENT_MAX", 100)
    scene = Scene()
    async with trio.open_nursery() as nursery:
        scene.accept(nursery, HELLO, a_line(THEIRS, 1, Resync()))
        await trio.testing.wait_all_tasks_blocked()

        scene.send(1, THEIRS, *[Resync()] * 20)

    assert "behind" in scene.told[-1]
    assert scene.inbox.items[-1] == LinkClosed(NodeId(1), THEIRS)


async def test_a_dialer_that_says_nothing_is_let_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Faults 3: one byte a second."""
    scene = Scene()
    async with trio.open_nursery() as nursery:
        scene.accept(nursery, HELLO)

    assert scene.inbox.items == []


async def _read_to_end(far: Far) -> None:
    while await far.receive_some():
        pass
    raise trio.BrokenResourceError


@pytest.mark.parametrize("shown", ["", "node-3", "coordinator", "node-11"])
async def test_node_with_another_nodes_certificate_is_refused(shown: str) -> None:
    """Issue 5: peers verify the name against the claimed id; and a node without any."""
    scene = Scene(is_secured=True)
    near, _far = trio.testing.memory_stream_pair()

    with pytest.raises(RemoteProtocolError, match="shows a certificate of"):
        await scene.links.accept(Wire(near, peer=shown), HELLO, LineSplitter(BATCH_BYTES_MAX), [])


async def test_what_is_dialed_must_show_the_name_of_the_node(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Issue 5: whoever has the address of a node is not yet that node."""
    scene = Scene(is_secured=True)
    scene.shown = "node-4"
    scene.links.know(NodeId(3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.links.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert scene.inbox.items == []
    assert "certificate is of 'node-4'" in scene.told[0]
