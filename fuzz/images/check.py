"""Node code recovers an image; what was acknowledged must be there, and nothing half-applied."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from exchange.domain.units import AccountId, NodeId, parse_id
from exchange.engine.state import State
from exchange.store.directory import read_only
from exchange.store.meta import read_identity
from exchange.store.pages import check_pages
from exchange.store.store import Store
from exchange.store.tables import CODECS
from fuzz.images.build import PAGE, SECTOR, image_at
from fuzz.images.record import Tape


class Recovered(msgspec.Struct):
    """A node as it came back from one image."""

    node: int
    state: State


def cuts(tape: Tape, count: int, seed: int) -> Iterator[tuple[float, int, random.Random]]:
    """Draw (instant, unit, source of randomness) for each image of a campaign."""
    source = random.Random(seed)
    instants = sorted({moment for file in tape.files for moment in file.instants()})
    instants = [moment for moment in instants if moment < tape.end]
    for _ in range(count):
        moment = source.choice(instants) + source.choice((-1e-6, 0.0, 1e-6))
        yield moment, source.choice((PAGE, SECTOR)), random.Random(source.getrandbits(64))


def check_cut(
    tape: Tape, instant: float, unit: int, source: random.Random, work: Path
) -> list[str]:
    """Cut all nodes at one instant, recover them, and return what is wrong."""
    wrong: list[str] = []
    nodes: list[Recovered] = []
    for number, (directory, file) in enumerate(zip(tape.directories, tape.files, strict=True), 1):
        image = image_at(file, instant, source, unit=unit)
        recovered, problems = recover(Path(directory), image, work, number)
        wrong += problems
        if recovered is not None:
            nodes.append(recovered)
            wrong += _answers(tape, recovered, instant)
            wrong += _balance(recovered)
    if len(nodes) == len(tape.files):
        wrong += _halves(nodes)
    return wrong


def recover(
    directory: Path, image: bytes, work: Path, node: int
) -> tuple[Recovered | None, list[str]]:
    """Let node code open an image; a clean refusal is as wrong as a wrong balance here."""
    target = work / f"node-{node}"
    if not target.exists():
        shutil.copytree(directory, target)
    file = target / "store" / "data.mdb"
    file.write_bytes(image)
    try:
        check_pages(file)
        disk = read_only(target)
        try:
            identity = read_identity(disk)
            assert identity is not None, "the identity is gone"
            store = Store.open(disk, identity)
            for number in store.state.accounts.keys() | _stored_accounts(store):
                store.state.accounts.find(number)
        finally:
            disk.close()
    except Exception as error:
        return None, [f"node {node} does not come back: {type(error).__name__}: {error}"]
    return Recovered(node, store.state), []


def _stored_accounts(store: Store) -> set[AccountId]:
    codec = CODECS["accounts"]
    return {codec.unpack(key) for key, _ in store.disk.scan("accounts")}


def _answers(tape: Tape, recovered: Recovered, instant: float) -> list[str]:
    """Check that every order acknowledged before the cut is there."""
    state = recovered.state
    lost = []
    for told in tape.told:
        if told.node != recovered.node or told.at >= instant:
            continue
        order_id = parse_id(told.order_id)
        if order_id not in state.orders and order_id not in state.done:
            lost.append(f"node {told.node} has lost {told.client_order_id}, acknowledged before")
    return lost


def _balance(recovered: Recovered) -> list[str]:
    """Check the double entry: accounts, external and clearing sum to zero (S13)."""
    state = recovered.state
    totals: dict[str, int] = {str(asset): int(n) for asset, n in state.scalars.external.items()}
    for peer in state.peers.values():
        for asset, amount in peer.clearing.items():
            totals[asset] = totals.get(asset, 0) + amount
    for account in state.accounts.values():
        for asset in {*account.available, *account.held}:
            owned = account.available.get(asset, 0) + account.held.get(asset, 0)
            totals[asset] = totals.get(asset, 0) + owned
    return [
        f"node {recovered.node} is out of balance by {amount} {asset}"
        for asset, amount in totals.items()
        if amount
    ]


def _halves(nodes: list[Recovered]) -> list[str]:
    """Check both halves of every trade: committed there => reserved or settled here (S13)."""
    wrong: list[str] = []
    by_node = {NodeId(recovered.node): recovered.state for recovered in nodes}
    for decider, state in by_node.items():
        for (proposer, offer_id), acceptance in state.acceptances.items():
            there = by_node[proposer]
            offer = there.offers.get((decider, offer_id))
            if offer is None and there.peer(decider).last_offer < offer_id:
                wrong.append(f"offer {offer_id} was accepted and never made")
            elif offer is not None and acceptance.quantity > offer.quantity:
                wrong.append(f"offer {offer_id}: more was accepted than offered")
        for other, offer_id in state.offers:
            assert other in by_node, "an offer to a node outside the cluster"
            assert offer_id <= state.peer(other).last_offer, "an offer above the last one"
    for node, state in by_node.items():
        for peer_id, peer in state.peers.items():
            settled_there = by_node[peer_id].peer(node)
            if peer.answered > settled_there.mark:
                wrong.append(f"node {node} has an answer that node {peer_id} never gave")
    return wrong
