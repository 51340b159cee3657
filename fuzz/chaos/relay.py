"""A relay before each node: it can cut one direction, slow it, or break links.

A cut direction holds its bytes, as a network does that drops packets: nobody is told, and
what was under way arrives late.  The first line of a link says which node has dialed.
"""

import socket
import struct
from collections.abc import Callable, Set

import msgspec
import trio

from fuzz.chaos.network import Pair

CLIENT = 0  # stands for everybody who is no node
CHUNK = 1 << 16


class _FirstLine(msgspec.Struct):
    type: str = ""
    node_id: int = CLIENT


_FIRST_LINE = msgspec.json.Decoder(_FirstLine)


class Rules:
    """What the network between the nodes does at the moment; (source, target) by node id."""

    def __init__(self) -> None:
        self.cut: set[tuple[int, int]] = set()
        self.delay: dict[tuple[int, int], float] = {}  # seconds for each piece
        self._changed = trio.Event()

    def change(self) -> None:
        """Wake everybody who waits at a cut; call it after every change."""
        self._changed.set()
        self._changed = trio.Event()

    async def pass_through(self, source: int, target: int) -> None:
        """Wait as long as a piece takes from one node to another."""
        delay = self.delay.get((source, target), 0.0)
        if delay:
            await trio.sleep(delay)
        while (source, target) in self.cut:
            await self._changed.wait()

    def heal(self) -> None:
        """Let everything through."""
        self.cut.clear()
        self.delay.clear()
        self.change()


class Relays:
    """The network of a cluster whose nodes all stand behind relays."""

    def __init__(self) -> None:
        self.rules = Rules()
        self.relays: dict[int, Relay] = {}

    async def stand_before(self, node: int, target: tuple[str, int], nursery: trio.Nursery) -> str:
        """Run a relay before a node and return its address."""
        self.relays[node] = relay = Relay(node, target, self.rules)
        await nursery.start(relay.run)
        return relay.address

    def cut(self, pairs: Set[Pair]) -> None:
        """Hold everything, for each pair."""
        self.rules.cut |= pairs

    def mend(self, pairs: Set[Pair]) -> None:
        """Let go what was held."""
        self.rules.cut -= pairs
        self.rules.change()

    def slow(self, pairs: Set[Pair], seconds: float) -> None:
        """Hold every piece so long; 0 is not at all."""
        self.rules.delay.update(dict.fromkeys(pairs, seconds))

    def lose(self, pairs: Set[Pair], percent: int) -> None:
        """Loss is not drawn for relays."""
        raise NotImplementedError("a relay carries bytes: there are no packets to lose")

    def break_links(self, low: int, high: int) -> None:
        """Reset the links between two nodes: the lower one dials."""
        self.relays[high].break_links(low)

    def heal(self) -> None:
        """Let everything through."""
        self.rules.heal()


class Relay:
    """Listens on a port of its own and hands everything on to one node."""

    def __init__(self, node_id: int, target: tuple[str, int], rules: Rules) -> None:
        self.node_id = node_id
        self.address = ""
        self._target = target
        self.rules = rules
        self._links: dict[int, list[Callable[[], None]]] = {}  # how to break them, by who dialed

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve for ever."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, port = listeners[0].socket.getsockname()[:2]
        self.address = f"{host}:{port}"
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    def break_links(self, peer: int) -> int:
        """Reset every link that a node has dialed; return how many there were."""
        links = self._links.pop(peer, [])
        for close in links:
            close()
        return len(links)

    async def _serve(self, dialer: trio.SocketStream) -> None:
        try:
            node = await trio.open_tcp_stream(*self._target)
        except OSError:
            await trio.aclose_forcefully(dialer)
            return
        source = CLIENT

        def close() -> None:
            for stream in (dialer, node):
                _reset(stream)
            scope.cancel()

        with trio.CancelScope() as scope:
            try:
                first = await _read_first(dialer)
                source = _who(first)
                self._links.setdefault(source, []).append(close)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, dialer, node, source, self.node_id, first)
                    nursery.start_soon(self._pump, node, dialer, self.node_id, source, b"")
            finally:
                links = self._links.get(source, [])
                if close in links:
                    links.remove(close)
                dialer.socket.close()  # now, also when everything is being canceled
                node.socket.close()

    async def _pump(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        source_id: int,
        target_id: int,
        data: bytes | bytearray,
    ) -> None:
        """Carry bytes one way until either side ends."""
        try:
            while True:
                if data:
                    await self.rules.pass_through(source_id, target_id)
                    await target.send_all(data)
                data = await source.receive_some(CHUNK)
                if not data:
                    await target.send_eof()
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            _reset(source)
            _reset(target)


async def _read_first(stream: trio.SocketStream) -> bytes:
    """Read until a line is complete, or its sender gives up."""
    data = b""
    try:
        while b"\n" not in data and len(data) < CHUNK:
            more = await stream.receive_some(CHUNK)
            if not more:
                break
            data += more
    except (trio.BrokenResourceError, OSError):
        pass
    return data


def _who(first: bytes) -> int:
    try:
        line = _FIRST_LINE.decode(first.partition(b"\n")[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return CLIENT
    return line.node_id if line.type == "node" else CLIENT


def _reset(stream: trio.SocketStream) -> None:
    """End a connection the hard way: what is in flight is lost."""
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
    except OSError:
        pass
