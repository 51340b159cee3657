"""Registrations between their lines (`wire.coordinator_lines`) and their values (`core`)."""

from collections.abc import Iterable

import msgspec

from exchange.coordinator.core import KnownNode, Registration
from exchange.coordinator.registry import NodeEntry
from exchange.domain.instruments import Instrument, NumberError, check_instrument
from exchange.domain.units import Epoch, NodeId
from exchange.wire import coordinator_lines as lines
from exchange.wire.errors import RemoteProtocolError


class _Kind(msgspec.Struct, frozen=True):
    addr: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()


_KIND = msgspec.json.Decoder(_Kind)


def is_registration(line: bytes) -> bool:
    """Tell whether the first line of a connection is a node's."""
    try:
        kind = _KIND.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return bool(bytes(kind.addr)) and not bytes(kind.type)


def registration_of(line: lines.Register) -> Registration:
    """Return what a node says about itself."""
    state = line.state
    return Registration(
        line.nonce,
        line.addr,
        None if state is None else NodeId(state.id),
        0 if state is None else state.account_num,
        Epoch(line.epoch),
        line.boot_id,
        line.cluster,
        tuple(KnownNode(NodeId(node.id), node.nonce, node.addr) for node in line.peers),
        tuple(instrument.instrument() for instrument in line.instruments),
    )


def register_line(asked: Registration) -> bytes:
    """Write what a node says about itself."""
    state = None
    if asked.node_id is not None:
        state = lines.NodeState(asked.node_id, asked.account_number)
    return lines.encode_line(
        lines.Register(
            asked.address,
            state,
            asked.nonce,
            asked.epoch,
            asked.boot_id,
            asked.cluster,
            [lines.KnownNode(node.node_id, node.address, node.nonce) for node in asked.nodes],
            [lines.instrument_line(instrument) for instrument in asked.instruments],
        )
    )


def registered_line(
    given_id: NodeId | None,
    cluster: str,
    nodes: Iterable[NodeEntry],
    instruments: Iterable[Instrument],
    operator_key_hash: bytes,
) -> bytes:
    """Write the answer to a registration; `given_id` is None for a node that has its id."""
    return lines.encode_line(
        lines.Registered(
            given_id,
            [lines.KnownNode(entry.node_id, entry.address, entry.nonce) for entry in nodes],
            cluster,
            [lines.instrument_line(instrument) for instrument in instruments],
            operator_key_hash,
        )
    )


def known_nodes(told: lines.Registered) -> list[KnownNode]:
    """Return the other nodes that a registered node is told of."""
    return [KnownNode(NodeId(node.id), node.nonce, node.addr) for node in told.others]


def listed_instruments(told: lines.Registered) -> list[Instrument]:
    """Return the listings that a registered node is told of."""
    return [instrument_of(line) for line in told.instruments]


def instrument_of(line: lines.InstrumentLine) -> Instrument:
    """Return an instrument that the coordinator tells of; RemoteProtocolError if it is none."""
    instrument = line.instrument()
    try:
        check_instrument(instrument)
    except NumberError as error:
        raise RemoteProtocolError("bad_instrument", str(error)) from error
    return instrument
