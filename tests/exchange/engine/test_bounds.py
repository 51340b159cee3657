"""What a peer may say: nothing out of bounds is logged or learned, nothing ends the node (B7)."""

# ruff: noqa: ANN401 - fields of any message

import enum
import types
import typing
from typing import Any

import msgspec
import pytest

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import Asset, Epoch, Lots, NodeId, Seq, Symbol, Ticks, make_id
from exchange.engine import inputs
from exchange.engine.bounds import BOUNDS, EPOCHS_AHEAD, HAVE, LIST_MAX, MESSAGES_MAX
from exchange.engine.effects import Alarm, CloseLink, Send, Stop
from exchange.engine.messages import (
    REASON_MAX,
    Ack,
    Applied,
    Batch,
    Events,
    Heartbeat,
    Hello,
    Listed,
    Offer,
    PeerMessage,
    Quarantine,
    Refusal,
    Reply,
    SealedProof,
    Session,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from exchange.engine.records import BEFORE_ANY, OfferId, OffersForgotten, TradeDeclined
from tests.exchange.engine.streams import an_event, link, say
from tests.support.engines import Engines

NAME = "E" * 600
LISTINGS = [
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("USD"), "0.0000000000001", "1", 0, 2),
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("USD"), "x", "1", 0, 2),
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("USD"), "0.001", "1", 0, 2),
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("EVIL"), "0.01", "1", 0, 2),
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("USD"), "1", "1", 10**6, 2),
    Instrument(Symbol("EVIL"), Asset("EVIL"), Asset("USD"), "9" * 4_000, "1", 0, 2),
    Instrument(Symbol(NAME), Asset("EVIL"), Asset("USD"), "0.01", "1", 0, 2),
    Instrument(Symbol("EVIL"), Asset(NAME), Asset("USD"), "0.01", "1", 0, 2),
    Instrument(Symbol('A","B":"\x1b[2J'), Asset("EVIL"), Asset("USD"), "0.01", "1", 0, 2),
    Instrument(Symbol(""), Asset("EVIL"), Asset("USD"), "0.01", "1", 0, 2),
]


def hear(engines: Engines, batch: Batch) -> list[Any]:
    """Let node 1 hear a batch of node 2; return what it logs, as of the next real record too."""
    logged = engines.step(1, inputs.PeerBatch(batch))
    return logged + engines.step(1, engines.place(1, Side.BUY, 1, 1))


def a_batch(engines: Engines, *said: PeerMessage, **change: Any) -> Batch:
    session = link(engines, 1, 2).session
    assert session is not None
    clock, proof = engines.engine(2).clock, engines.engine(2).proof
    batch = Batch(session, clock, proof, list(said), NodeId(2))
    return msgspec.structs.replace(batch, **change)


def told(engines: Engines) -> list[str]:
    return [effect.code for _, effect in engines.effects if isinstance(effect, Alarm)]


def parts_of(kind: Any) -> list[Any]:
    """Return the types that a declared type is made of."""
    kind = getattr(kind, "__value__", kind)
    if isinstance(kind, typing.NewType):
        return parts_of(kind.__supertype__)
    arguments = typing.get_args(kind)
    if not arguments:
        return [kind]
    here = [list] if typing.get_origin(kind) is list else []
    return here + [part for one in arguments for part in parts_of(one)]


def test_every_field_of_every_message_has_a_bound() -> None:
    """B7: who adds a field to a message adds its bound, in the same table."""
    waiting: list[type] = [Batch]
    seen: set[type] = set()
    unbound = []
    while waiting:
        kind = waiting.pop()
        seen.add(kind)
        for name, declared in typing.get_type_hints(kind).items():
            if name.startswith("_") or typing.get_origin(declared) is typing.ClassVar:
                continue
            parts = parts_of(declared)
            structs = [p for p in parts if isinstance(p, type) and issubclass(p, msgspec.Struct)]
            waiting += [struct for struct in structs if struct not in seen]
            rest = [p for p in parts if p not in structs and p not in (bool, types.NoneType)]
            is_closed = all(isinstance(p, type) and issubclass(p, enum.Enum) for p in rest)
            if not is_closed and name != "have" and name not in BOUNDS.get(kind, {}):
                unbound.append(f"{kind.__name__}.{name}")

    assert not unbound
    assert seen == set(BOUNDS), "the table has rows for what is no part of a message"
    assert len(HAVE) == 2


def messages_at_the_edge() -> list[tuple[str, PeerMessage]]:
    """Return every message with one field just beyond a bound, the rest as it should be."""
    offer_id = OfferId(Epoch(1), Seq(1))
    good: list[Any] = [
        Hello("test", b"n", Epoch(1), b"b", "a:1", offer_id, offer_id, offer_id, None, b"", None),
        Events(Epoch(1), Seq(1), []),
        SnapshotBegin(Epoch(1), Seq(1)),
        SnapshotChunk([]),
        SnapshotEnd(Epoch(1), Seq(1), 0, "0" * 32),
        Applied(Epoch(1), Seq(1)),
        Offer(offer_id, make_id(2, 1), make_id(2, 2), make_id(1, 1), Side.BUY, 1, 1, 1, 1),  # type: ignore[arg-type]
        Reply(offer_id, Lots(1)),
        Heartbeat(Epoch(1), Seq(1), 0, "0" * 32, offer_id),
        Listed([]),
        Quarantine("why"),
        Refusal("why", None),
    ]
    found: list[tuple[str, PeerMessage]] = []
    for message in good:
        for name, (low, high) in BOUNDS[type(message)].items():
            value = getattr(message, name)
            if isinstance(value, int):
                wrong: list[Any] = [low - 1, high + 1, 1 << 64]
            elif isinstance(value, list):
                inner = an_order() if name in ("events", "orders") else plain_ticker("AAPL")
                wrong = [[inner] * (high + 1)]
            else:
                unit = "9" if isinstance(value, str) else b"9"
                wrong = [unit * (high + 1)] + ([unit * (low - 1)] if low else [])
            kind = type(message).__name__
            found += [(f"{kind}.{name}", replaced(message, name, one)) for one in wrong]
    event = an_order()
    for name, (low, high) in BOUNDS[type(event)].items():
        wrong = [low - 1, high + 1] if name != "symbol" else ["", "E" * 600, 'A"\x1b']
        for one in wrong:
            changed = replaced(event, name, one)
            found.append((f"OrderEvent.{name}", Events(Epoch(2), Seq(1), [changed])))
            found.append((f"OrderEvent.{name}", SnapshotChunk([changed])))
    return found


def an_order() -> Any:
    return an_event(Engines(2)).events[0]


def replaced(message: Any, name: str, value: Any) -> Any:
    return msgspec.structs.replace(message, **{name: value})


def test_whatever_is_out_of_bounds_quarantines_and_leaves_no_record() -> None:
    """B7: every field of every message, just beyond its bound."""
    for field, message in messages_at_the_edge():
        engines = Engines(2)
        before = len(engines.log(1))
        heartbeat = Heartbeat(Epoch(2), Seq(0), 0, "0" * 32, BEFORE_ANY)
        records = hear(engines, a_batch(engines, heartbeat, message))

        assert link(engines, 1, 2).quarantine, field
        assert "peer_quarantined" in told(engines), field
        assert len(engines.log(1)) == before + len(records) == before + 1, field
        assert not any(isinstance(effect, Stop) for _, effect in engines.effects)
        assert [e for n, e in engines.effects if n == 1 and isinstance(e, CloseLink)], field


@pytest.mark.parametrize(
    "change",
    [
        {"proof": SealedProof(1, b"A" * 12_000_000, b"b", b"m" * 16)},  # type: ignore[arg-type]
        {"proof": SealedProof(1, b"A" * 16, b"b" * 9, b"m" * 16)},  # type: ignore[arg-type]
        {"proof": SealedProof(1 << 63, b"A" * 16, b"b", b"m" * 16)},  # type: ignore[arg-type]
        {"proof": SealedProof(-1, b"A" * 16, b"b", b"m" * 16)},  # type: ignore[arg-type]
        {"wall": 1 << 64},
        {"wall": -1},
        {"messages": [Applied(Epoch(2), Seq(0))] * (MESSAGES_MAX + 1)},
    ],
)
def test_batch_out_of_bounds_is_not_taken(change: dict[str, Any]) -> None:
    """B7: a digest of 12 MB was stored, and then no hello fitted a line any more."""
    engines = Engines(2)
    engines.step(1, inputs.PeerBatch(a_batch(engines, **change)))

    assert link(engines, 1, 2).quarantine
    seen = engines.engine(1).soft.seen.get(NodeId(2))
    assert seen is None or len(seen.digest) == 16


@pytest.mark.parametrize("listed", LISTINGS)
def test_listing_that_may_not_be_is_no_record_and_ends_nobody(listed: Instrument) -> None:
    """B7, M2: it would crash the node at each start, or no checkpoint could be written again."""
    engines = Engines(2)
    records = hear(engines, a_batch(engines, Listed([plain_ticker("FINE"), listed])))

    assert link(engines, 1, 2).quarantine
    assert len(records) == 1
    assert set(engines.state(1).instruments) == {"AAPL"}


def test_what_a_peer_lists_is_kept_aside_until_the_coordinator_lists_it() -> None:
    """C1, B7: a liar that tells two nodes different terms divides nobody."""
    engines = Engines(3)
    one, other = plain_ticker("EVIL"), plain_ticker("EVIL")
    other = msgspec.structs.replace(other, tick_size="0.05")
    engines.step(1, say(engines, Listed([one])))
    session = link(engines, 3, 2).session
    assert session is not None
    lie = a_batch(engines, Listed([other]), session=session)
    engines.step(3, inputs.PeerBatch(lie))
    assert not any("EVIL" in engines.state(node).instruments for node in (1, 3))

    for node in (1, 3):  # the coordinator has heard of it from somebody else
        engines.step(node, inputs.ListInstrument(0, one))
    engines.settle()

    assert not link(engines, 1, 3).quarantine
    assert not link(engines, 3, 1).quarantine
    assert not link(engines, 1, 2).quarantine, "it had told this node the truth"
    assert "other terms" in link(engines, 3, 2).quarantine
    assert engines.state(1).instruments["EVIL"] == engines.state(3).instruments["EVIL"]  # type: ignore[index]


def test_offer_numbered_far_ahead_divorces_nobody() -> None:
    """S5, B7: its mark would turn away every honest offer, and every honest hello, for ever."""
    for number in (OfferId(Epoch(1 << 39), Seq(1)), OfferId(Epoch(2), Seq(1 << 50))):
        engines = Engines(2)
        ask = engines.sell(1, 100, 10)
        terms = (make_id(2, 999), make_id(2, 998), ask, Side.BUY, 1, 100, 1, 1)
        records = hear(engines, a_batch(engines, Offer(number, *terms)))  # type: ignore[arg-type]

        assert not [one for one in records if isinstance(one, TradeDeclined)]
        assert engines.state(1).peer(NodeId(2)).mark == BEFORE_ANY
        assert link(engines, 1, 2).quarantine

        engines.kill(2)
        engines.settle()
        engines.restart(2)
        assert link(engines, 1, 2).state == "synced", link(engines, 1, 2).detail
        bid = engines.buy(2, 100, 4)
        assert engines.filled(bid) == 4
        engines.check_quiet()


@pytest.mark.parametrize("kind", [Ack, Heartbeat])
def test_watermark_forgets_no_more_than_was_handled(kind: type) -> None:
    """S7: what a peer has in doubt is answered after its restart, whatever it said before."""
    engines = Engines(2)
    engines.sell(1, 100, 10)
    engines.step(2, engines.place(2, Side.BUY, 100, 4))
    engines.deliver()
    engines.wire = [entry for entry in engines.wire if entry[1] != 2]  # the reply is lost
    assert len(engines.state(2).offers) == 1

    far = OfferId(Epoch(1 << 39), Seq(1))
    message = Ack(far) if kind is Ack else Heartbeat(Epoch(2), Seq(0), 0, "0" * 32, far)
    records = hear(engines, a_batch(engines, message))
    assert not [one for one in records if isinstance(one, OffersForgotten)]

    engines.kill(2)
    engines.settle()
    engines.restart(2)
    assert not engines.state(2).offers, "it is told what became of its offer"
    engines.check_quiet()


def test_watermark_above_what_was_handled_is_not_logged() -> None:
    """S7: nobody can have resolved what was never answered."""
    engines = Engines(2)
    engines.sell(1, 100, 10)
    engines.buy(2, 100, 4)
    epoch = engines.state(2).scalars.epoch
    engines.sell(1, 200, 1)
    engines.buy(2, 200, 1)
    assert engines.state(1).acceptances, "they are forgotten lazily"
    records = hear(engines, a_batch(engines, Ack(OfferId(epoch, Seq(1_000)))))

    mark = engines.state(1).peer(NodeId(2)).mark
    forgotten = [one.below for one in records if isinstance(one, OffersForgotten)]
    assert all(below <= OfferId(mark.epoch, Seq(mark.seq + 1)) for below in forgotten)
    assert link(engines, 1, 2).quarantine


def test_epoch_far_ahead_is_not_remembered() -> None:
    """C3, B7: every honest hello after it would be an old copy's."""
    engines = Engines(2, linked=False)
    known = engines.state(2).peer(NodeId(1)).epoch
    epoch = Epoch(known + EPOCHS_AHEAD + 1)
    say_hello(engines, epoch, Session(epoch, 1))

    assert engines.state(2).peer(NodeId(1)).epoch == known
    assert link(engines, 2, 1).quarantine


def test_session_of_an_epoch_beyond_the_hello_is_not_opened() -> None:
    """S6: no honest session would ever be above it."""
    engines = Engines(2, linked=False)
    say_hello(engines, Epoch(1), Session(Epoch(1 << 30), 1))

    assert link(engines, 2, 1).last_session == Session(Epoch(0), 0)
    assert link(engines, 2, 1).quarantine


@pytest.mark.parametrize("address", ["x" * 400 + ":1", "a b:1", "\x1b]0;PWNED\x07:1", "ä:1"])
def test_address_that_is_none_is_not_remembered(address: str) -> None:
    """C5, B7: the coordinator would refuse a registration that names it, for ever."""
    engines = Engines(2, linked=False)
    say_hello(engines, Epoch(1), Session(Epoch(1), 1), address=address)

    assert engines.state(2).peer(NodeId(1)).address == ""
    assert link(engines, 2, 1).quarantine


def say_hello(engines: Engines, epoch: Epoch, session: Session, address: str = "") -> None:
    """Let node 2 hear a hello of node 1."""
    none = BEFORE_ANY
    hello = Hello(
        "test", bytes([1]) * 16, epoch, b"boot", address, none, none, none, None, b"", None
    )
    engine = engines.engine(1)
    engines.step(
        2, inputs.PeerBatch(Batch(session, engine.clock, engine.proof, [hello], NodeId(1)))
    )


def test_reason_of_a_quarantine_reaches_no_terminal_as_it_is() -> None:
    """B7: escape sequences of a peer are not shown, and no reason that is sent is too long."""
    engines = Engines(2)
    engines.step(1, say(engines, Quarantine("\x1b]0;PWNED\x07")))
    assert "\x1b" not in link(engines, 1, 2).quarantine

    engines = Engines(2)
    engines.step(1, say(engines, Quarantine("x" * REASON_MAX)))
    engines.kill(2)
    engines.settle()
    engines.restart(2)
    sent = [e.message for _, e in engines.effects if isinstance(e, Send)]
    assert all(len(one.reason) <= REASON_MAX for one in sent if isinstance(one, Quarantine))


def test_line_that_is_none_quarantines_its_peer() -> None:
    """B7: what the shell cannot decode is a lie like any other, and is told."""
    engines = Engines(2)
    engines.step(1, inputs.PeerBroke(NodeId(2), "node 2 broke the protocol: malformed_batch"))

    assert link(engines, 1, 2).quarantine
    assert "peer_quarantined" in told(engines)


def test_liar_that_is_quarantined_settles_what_is_in_doubt() -> None:
    """S4, B7: a broken message ends the session, and the next one answers what was offered."""
    engines = Engines(2)
    engines.sell(1, 100, 10)
    engines.step(2, engines.place(2, Side.BUY, 100, 4))
    engines.wire.clear()
    assert len(engines.state(2).offers) == 1
    engines.step(1, say(engines, Reply(OfferId(Epoch(2), Seq(1)), Lots(-1))))
    assert link(engines, 1, 2).quarantine

    engines.settle()
    engines.link_all()
    assert not engines.state(2).offers
    assert len(engines.log(1, TradeDeclined)) == 1


def test_limits_leave_room_for_all_that_honest_nodes_say() -> None:
    """B2, E6: a ring of events and a slice of messages fit."""
    config = Engines(1).engine(1).config

    assert config.ring <= LIST_MAX
    assert config.chunk <= LIST_MAX
    assert Ticks(1) <= BOUNDS[Offer]["price"][1]
