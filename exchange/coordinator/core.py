"""What a coordinator decides: who is a node, which account is next, what may be listed.

Theory of operation
===================
The `decide_*` functions read the registry and return records, or a refusal, and change
nothing; `registry.apply` does (E2).  Whoever calls them forces the records before anyone hears
of the answer.

A node is (id, birth nonce), an incarnation of it (epoch, boot id), compared and set (C3).
Epoch 0 is a node that has its id and has not started yet, or that was only heard of.

    registration            | nonce unknown here        | nonce known here
    ------------------------+---------------------------+-------------------------------------
    first (no id yet)       | a fresh id                | never started: the same id again
                            |                           | else refused: its state was lost
    again (id, epoch, boot) | id free or only heard of: | other id: refused
                            |   it keeps its id         | lower epoch: refused
                            | id taken: refused         | same epoch, other boot id: refused
                            |                           | else renewed

The second column of the last row is what makes an empty coordinator learn its cluster from
the nodes that come back (C2): each tells its own id, the accounts it has opened, the nodes
it knows and the instruments it trades.  A registry without a cluster adopts the one of the
first node that has one.
"""

from collections.abc import Collection, Iterable

import msgspec

from exchange.coordinator.registry import (
    AccountAllocated,
    ClusterFounded,
    InstrumentListed,
    NodeEntry,
    NodeRegistered,
    NodeRenewed,
    Registry,
    RegistryRecord,
)
from exchange.domain.instruments import (
    Instrument,
    NumberError,
    check_instrument,
    plain_ticker,
)
from exchange.domain.names import SYMBOL_WORDS, is_symbol
from exchange.domain.units import (
    NODE_MAX,
    NUMBER_MAX,
    AccountId,
    Asset,
    Epoch,
    NodeId,
    Symbol,
    make_id,
    node_of,
    number_of,
)
from exchange.engine.effects import Refused, not_listed
from exchange.process.addresses import is_address

NONCE_BYTES = 16
BOOT_ID_BYTES_MAX = 16
INSTRUMENTS_MAX = 16_384  # the design is for under 10**4; a flood of tickers must end somewhere


class KnownNode(msgspec.Struct, frozen=True):
    """A node as others know it."""

    node_id: NodeId
    nonce: bytes
    address: str


class Registration(msgspec.Struct, frozen=True):
    """What a node says about itself.  `node_id` None: it has no id yet; then epoch is 0."""

    nonce: bytes
    address: str
    node_id: NodeId | None = None
    account_number: int = 0  # the highest it has opened
    epoch: Epoch = Epoch(0)
    boot_id: bytes = b""
    cluster: str = ""
    nodes: tuple[KnownNode, ...] = ()
    instruments: tuple[Instrument, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """Records to apply and force, the id they concern, and what an operator should hear of."""

    records: tuple[RegistryRecord, ...]
    node_id: NodeId
    alarms: tuple[str, ...] = ()


def decide_registration(
    registry: Registry, asked: Registration, *, fresh_cluster: str
) -> Decision | Refused:
    """Register a node for the first time, or again (C2, C3).

    `fresh_cluster` names the cluster if this registration founds it.
    """
    refusal = _malformed(asked) or _foreign(registry, asked)
    if refusal:
        return refusal
    founded = () if registry.cluster else (ClusterFounded(asked.cluster or fresh_cluster),)
    if asked.node_id is None:
        decision = _first(registry, asked)
    else:
        decision = _again(registry, asked, asked.node_id)
    if isinstance(decision, Refused):
        return decision
    nodes, node_alarms = _heard_of(registry, asked, decision.node_id)
    listed, listing_alarms = _learn_instruments(registry, asked.instruments)
    records = (*founded, *decision.records, *nodes, *listed)
    return Decision(records, decision.node_id, (*node_alarms, *listing_alarms))


def _malformed(asked: Registration) -> Refused | None:
    if len(asked.nonce) != NONCE_BYTES:
        return Refused("malformed", f"a birth nonce has {NONCE_BYTES} bytes")
    if len(asked.boot_id) > BOOT_ID_BYTES_MAX:
        return Refused("malformed", f"a boot id has up to {BOOT_ID_BYTES_MAX} bytes")
    if not is_address(asked.address):
        return Refused("malformed", "a node must tell its address as host:port")
    if asked.node_id is not None and not 0 < asked.node_id <= NODE_MAX:
        return Refused("malformed", f"node ids go from 1 to {NODE_MAX}")
    if asked.node_id is not None and asked.epoch < 1:
        return Refused("malformed", "a node that has its id must tell its boot epoch")
    if not 0 <= asked.account_number <= NUMBER_MAX:
        return Refused("malformed", f"account numbers go from 0 to {NUMBER_MAX}")
    return None


def _foreign(registry: Registry, asked: Registration) -> Refused | None:
    if not asked.cluster or not registry.cluster or asked.cluster == registry.cluster:
        return None
    return Refused(
        "other_cluster",
        f"the node belongs to cluster {asked.cluster}, this coordinator to {registry.cluster};"
        " point it to its own coordinator, or start a coordinator with an empty data directory",
    )


def _first(registry: Registry, asked: Registration) -> Decision | Refused:
    known = registry.by_nonce.get(asked.nonce)
    if known is not None:
        entry = registry.nodes[known]
        if entry.has_started:
            return Refused(
                "state_lost",
                f"node {known} has already started with this birth nonce and comes without its"
                " state; a lost data directory is rebuilt by exchange-recover recover-node",
            )
        return Decision(_renewal(entry, asked), known)
    node_id = NodeId(max(registry.nodes, default=0) + 1)
    if node_id > NODE_MAX:
        return Refused("cluster_full", f"a cluster has at most {NODE_MAX} nodes")
    return Decision((_newcomer(node_id, asked),), node_id)


def _again(registry: Registry, asked: Registration, node_id: NodeId) -> Decision | Refused:
    known = registry.by_nonce.get(asked.nonce)
    if known is not None and known != node_id:
        return Refused(
            "other_id", f"this birth nonce belongs to node {known}, not to node {node_id}"
        )
    entry = registry.nodes.get(node_id)
    if entry is None:
        newcomer = _newcomer(node_id, asked)
        told = NodeEntry(
            node_id, asked.nonce, asked.address, asked.epoch, asked.boot_id, 0, has_started=True
        )
        return Decision((newcomer, *_renewal(told, asked)), node_id)
    if entry.nonce and entry.nonce != asked.nonce:
        return Refused(
            "other_nonce",
            f"node id {node_id} belongs to a node born with another nonce; if this one was rebuilt,"
            " introduce it: exchange-recover recover-node --accept DIR COORDINATOR_DIR",
        )
    return _old_incarnation(entry, asked) or Decision(_renewal(entry, asked), node_id)


def _old_incarnation(entry: NodeEntry, asked: Registration) -> Refused | None:
    """Compare the incarnation with the one last seen (C3)."""
    if asked.epoch < entry.epoch:
        return Refused(
            "old_epoch",
            f"node {entry.node_id} was here with epoch {entry.epoch} and comes with {asked.epoch}:"
            " it is an old copy; see exchange-recover recover-node",
        )
    if asked.epoch == entry.epoch and asked.boot_id != entry.boot_id:
        return Refused(
            "other_boot",
            f"another run of node {entry.node_id} has used epoch {entry.epoch}: there are two"
            " copies of its data directory; if this is the newest, stop the other and start it"
            " again; if it is a backup, see exchange-recover recover-node",
        )
    return None


def _newcomer(node_id: NodeId, asked: Registration) -> NodeRegistered:
    has_started = asked.epoch > 0
    return NodeRegistered(
        node_id, asked.nonce, asked.address, asked.epoch, asked.boot_id, has_started
    )


def _renewal(entry: NodeEntry, asked: Registration) -> tuple[NodeRenewed, ...]:
    """Return the record that brings an entry up to date; none if it already is."""
    number = max(entry.account_number, asked.account_number)
    renewed = NodeRenewed(
        entry.node_id,
        asked.nonce,
        asked.address,
        asked.epoch,
        asked.boot_id,
        number,
        entry.has_started or asked.epoch > 0,
    )
    is_same = msgspec.structs.astuple(renewed) == msgspec.structs.astuple(entry)
    return () if is_same else (renewed,)


def _heard_of(
    registry: Registry, asked: Registration, sender: NodeId
) -> tuple[list[RegistryRecord], list[str]]:
    """Learn nodes from one that knows them, so that no id is given out twice (C2)."""
    records: dict[NodeId, RegistryRecord] = {}
    alarms: list[str] = []
    taken = {asked.nonce} | set(registry.by_nonce)
    for known in asked.nodes:
        entry = registry.nodes.get(known.node_id)
        if known.node_id == sender or known.node_id in records:
            continue
        if not 0 < known.node_id <= NODE_MAX or not (
            known.address == "" or is_address(known.address)
        ):
            alarms.append(f"node {sender} tells of a node with impossible id or address")
        elif entry is not None:
            if known.nonce and entry.nonce and known.nonce != entry.nonce:
                alarms.append(f"node {sender} knows a node {known.node_id} born with another nonce")
        elif known.nonce in taken:
            alarms.append(f"node {sender} knows node {known.node_id} by the nonce of another node")
        else:
            taken |= {known.nonce} if known.nonce else set()
            records[known.node_id] = NodeRegistered(
                known.node_id, known.nonce, known.address, Epoch(0), b"", has_started=True
            )
    return list(records.values()), alarms


def _learn_instruments(
    registry: Registry, instruments: Iterable[Instrument]
) -> tuple[list[RegistryRecord], list[str]]:
    """Learn the listings that a node already trades (C2)."""
    records: dict[Symbol, RegistryRecord] = {}
    alarms: list[str] = []
    decimals = dict(registry.decimals)
    for instrument in instruments:
        if registry.instruments.get(instrument.symbol) == instrument:
            continue
        if instrument.symbol in records:
            alarms.append(f"{instrument.symbol[:40]!r} is told twice")
            continue
        refusal = _unlistable(registry, instrument, decimals, len(records))
        if refusal:
            alarms.append(f"{instrument.symbol[:40]!r}: {refusal.detail}")
            continue
        records[instrument.symbol] = InstrumentListed(instrument)
        decimals[instrument.base] = instrument.base_decimals
        decimals[instrument.quote] = instrument.quote_decimals
    return list(records.values()), alarms


def decide_account(registry: Registry, live: Collection[NodeId]) -> AccountAllocated | Refused:
    """Give out an account number of the live node that has the fewest accounts."""
    entries = [entry for key in sorted(live) if (entry := registry.nodes.get(key))]
    if not entries:
        return Refused("no_live_node", "no node is connected to the coordinator; start one")
    entry = min(entries, key=lambda entry: entry.account_number)
    if entry.account_number >= NUMBER_MAX:
        return Refused("cluster_full", "every connected node has all the accounts it can have")
    return AccountAllocated(AccountId(make_id(entry.node_id, entry.account_number + 1)))


def locate(registry: Registry, account: AccountId) -> str | Refused:
    """Return the address of the node that owns an account: arithmetic, no table (C1)."""
    entry = registry.nodes.get(node_of(account))
    if entry is None or number_of(account) == 0:
        return Refused("unknown_account", "no such account")
    if entry.epoch and number_of(account) > entry.account_number:
        return Refused("unknown_account", "no such account")
    return entry.address or Refused("unknown_address", "the owner's address is not known yet")


def decide_listing(registry: Registry, instrument: Instrument) -> InstrumentListed | Refused | None:
    """List an instrument; None if it is already listed exactly so (M2)."""
    if registry.instruments.get(instrument.symbol) == instrument:
        return None
    refusal = _unlistable(registry, instrument, registry.decimals, 0)
    return refusal or InstrumentListed(instrument)


def decide_ensure(
    registry: Registry, symbol: str, *, is_strict: bool
) -> InstrumentListed | Refused | None:
    """List a plain ticker with the defaults unless it is listed; None if it is (M2)."""
    if symbol in registry.instruments:
        return None
    if not is_symbol(symbol):
        return Refused("invalid_symbol", f"a symbol is {SYMBOL_WORDS}")
    if is_strict:
        return not_listed(symbol, registry.instruments)
    return decide_listing(registry, plain_ticker(symbol))


def _unlistable(
    registry: Registry, instrument: Instrument, decimals: dict[Asset, int], pending: int
) -> Refused | None:
    listed = registry.instruments.get(instrument.symbol)
    if listed is not None:
        return Refused("already_listed", f"{listed.symbol} is listed with other terms")
    try:
        check_instrument(instrument)
    except NumberError as error:
        return Refused("bad_instrument", str(error))
    for asset, count in (
        (instrument.base, instrument.base_decimals),
        (instrument.quote, instrument.quote_decimals),
    ):
        if decimals.get(asset, count) != count:
            return Refused(
                "decimals_fixed", f"{asset} has {decimals[asset]} decimals since its first listing"
            )
    if len(registry.instruments) + pending >= INSTRUMENTS_MAX:
        return Refused("too_many_instruments", f"at most {INSTRUMENTS_MAX} can be listed")
    return None
