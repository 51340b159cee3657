"""A real engine behind a real hub, with clients on memory streams and a log in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import trio
import trio.testing

from exchange.coordinator.keys import hash_key, minted
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import AccountId, Asset, Epoch, Lsn, Micros, NodeId, Units, make_id
from exchange.engine.apply import apply
from exchange.engine.effects import Alarm, Refused
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.inputs import ListInstrument, MoveFunds, OpenAccount, Tick
from exchange.engine.messages import Proof
from exchange.engine.records import Booted
from exchange.engine.state import State
from exchange.node.access import Access
from exchange.node.clients import Clients
from exchange.node.committer import InlineCommitter
from exchange.node.deadman import DeadMan
from exchange.node.desk import Desk
from exchange.node.door import Door
from exchange.node.feed import Feed
from exchange.node.hub import Hub
from exchange.node.links import Links
from exchange.node.parts import Parts
from exchange.node.sockets import Wire
from exchange.node.topics import BOOK_US
from exchange.process.limits import Guard, Limits
from exchange.wire.answers import AnswerWriter
from exchange.wire.translate import Translator
from tests.exchange.node.fakes import Clocks, FakeLog

ALICE = AccountId(make_id(1, 1))
BOB = AccountId(make_id(1, 2))
ALICE_KEY, OPERATOR_KEY = "alice-has-this-key", "the-operator-has-this-key"
CLUSTER = "test"


class Facts(msgspec.Struct):
    forces: int = 3


class Client:
    """The far end of a connection."""

    def __init__(
        self,
        stream: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream],
    ) -> None:
        self.stream = stream
        self._rest = b""

    async def send(self, *values: object) -> None:
        await self.stream.send_all(b"".join(msgspec.json.encode(v) + b"\n" for v in values))

    async def line(self) -> bytes:
        """Return the next line, empty at the end."""
        while b"\n" not in self._rest:
            data = await self.stream.receive_some(1 << 16)
            if not data:
                return b""
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    async def answer(self) -> object:
        return msgspec.json.decode(await self.line())

    async def ask(self, *values: object) -> list[object]:
        """Send requests in one go, return their answers."""
        await self.send(*values)
        return [await self.answer() for _ in values]

    async def code(self) -> str:
        """Return the code of the error that comes next."""
        answer = await self.answer()
        assert isinstance(answer, dict), "an error is an object"
        assert answer["type"] == "error", f"{answer} is no error"
        return str(answer["value"]["code"])


class Shop:
    """Node 1, as its clients meet it."""

    def __init__(
        self,
        *,
        is_authenticated: bool = False,
        list_symbol: Callable[[str], Awaitable[Instrument | Refused]] | None = None,
    ) -> None:
        self.state = State(node_id=NodeId(1), cluster=CLUSTER, nonce=b"n" * 16)
        apply(self.state, Booted(Epoch(1), b"boot", Micros(0)))
        self.state.lsn = Lsn(1)
        self.engine = Engine(self.state, EngineConfig())
        self.engine.forced(Proof(Lsn(1), b"digest"))
        self.clocks = Clocks()
        self.alarms: list[Alarm] = []
        self.told: list[str] = []
        self.log = FakeLog()
        self.hub = Hub(
            self.engine, self.log, self.clocks, durable_lsn=Lsn(1), alarm=self.alarms.append
        )
        access = Access(
            self.state,
            is_authenticated=is_authenticated,
            operator_hash=lambda: hash_key(OPERATOR_KEY, CLUSTER),
            wall_us=self.clocks.wall_us,
        )
        self.feed = Feed(self.engine.soft, wall_us=self.clocks.wall_us, may_read=access.may_read)
        self.desk = Desk(
            access=access,
            translator=Translator(self.state, mint=partial(minted, CLUSTER)),
            guard=Guard(Limits(), self.clocks.mono_us),
            deadman=DeadMan(self.clocks.mono_us),
            feed=self.feed,
        )
        self.clients = Clients(
            self.hub,
            desk=self.desk,
            writer=AnswerWriter(self.state.instruments),
            parts=Parts(self.hub, self.state, wall_us=self.clocks.wall_us),
            list_symbol=list_symbol,
            facts=Facts,
            feed=self.feed,
        )
        self.feed.connect(self.clients)
        self.links = Links.__new__(Links)  # replaced where a test has peers
        self.door = Door(self.clients, self.links, tell=self.told.append)
        self.hub.connect(answers=self.clients, peers=_NoPeers(), feed=self.feed)
        self.hub.feed([Tick(), ListInstrument(0, plain_ticker("AAPL"))])
        for account in (ALICE, BOB):
            self.hub.feed([OpenAccount(0, account, hash_key(ALICE_KEY, CLUSTER))])
            for asset in ("USD", "AAPL"):
                self.hub.feed([MoveFunds(0, account, Asset(asset), Units(1_000_000))])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[trio.Nursery]:
        """Run the hub, and let clients in."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.hub.run, InlineCommitter(lambda write: write.proof))
            self.door.open_to_clients()
            yield nursery
            nursery.cancel_scope.cancel()

    def connect(self, nursery: trio.Nursery) -> Client:
        """Connect a client that has not said anything yet."""
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(self._serve, near)
        return Client(far)

    async def enter(self, nursery: trio.Nursery, account: str = "1-1", key: str = "") -> Client:
        """Connect a client that has said who it is, with a key where one is asked for."""
        client = self.connect(nursery)
        await client.send({"user_id": account, "api_key": key} if key else account)
        return client

    async def _serve(self, near: trio.abc.Stream) -> None:
        async with near:
            await self.door.serve(Wire(near))


class _NoPeers:
    def send(self, effect: object) -> None:
        raise AssertionError("there are no peers")

    close_link = want_more = send

    def flush(self) -> None:
        pass


def order(side: str, price: object, quantity: object, ticker: str = "AAPL") -> dict[str, object]:
    value = {"order_type": side, "ticker": ticker, "price": price, "quantity": quantity}
    return {"type": "C order", "value": value}


def rich(request_id: object, verb: str, **value: object) -> dict[str, object]:
    return {"id": request_id, "type": verb, "value": value}


async def subscribed(shop: Shop, nursery: trio.Nursery, *channels: str, **more: object) -> Client:
    """Return a client that follows channels of AAPL, its acknowledgement read."""
    client = await shop.enter(nursery)
    value = {"channels": channels, "symbols": ["AAPL"], **more}
    assert await client.ask(rich(1, "feed.subscribe", **value)) == [
        {"id": 1, "type": "ok", "value": {}}
    ]
    return client


async def event(client: Client) -> dict[str, Any]:
    """Return the next event."""
    answer = await client.answer()
    assert isinstance(answer, dict), "an event is an object"
    assert answer["type"] == "feed", answer
    return answer


def next_window(shop: Shop) -> None:
    shop.clocks.now_us += BOOK_US
    shop.hub.wake()
