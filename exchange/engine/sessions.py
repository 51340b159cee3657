"""Sessions: who a peer is, whether it may speak, and whether it is suspected (S6, B5, C3).

event                                    | what follows
-----------------------------------------+---------------------------------------------
we dialed (lower node id)                | our hello
hello of a dialer, session above the last| the old link ends, our hello, stream, offers
hello of who we dialed                   | stream, offers
a hello that may not be let in           | our refusal, with what we have seen of its log
a refusal                                | an old copy stops; else it counts as one that refuses us
anything else before a hello             | ignored
anything of another session              | ignored
link closed, or a fault in it            | suspected, until a new session
3 s without word or progress             | suspected, and the link is closed
slower than the bound (`pace`)           | set aside; the link stays, and it may catch up
a forbidden message                      | quarantined until its next boot epoch

A node that somebody refuses, and nobody lets in, does not serve: it may be an old copy whose
proof nobody has.  One peer that lets it in is enough, so one that lies stops nobody who has
another; nor does one that quotes a proof which this node never made (`exchange.engine.proofs`).
"""

from exchange.domain.units import NodeId
from exchange.engine.bounds import printable
from exchange.engine.effects import Alarm
from exchange.engine.messages import Hello, Refusal, SealedProof, Session
from exchange.engine.proofs import Standing, is_sealed
from exchange.engine.records import BEFORE_ANY, PeerSeen
from exchange.engine.settlement import watermark
from exchange.engine.soft import Link, Soft


def make_hello(soft: Soft, link: Link) -> Hello:
    """Say who we are and what we remember of the peer (S6)."""
    peer = soft.state.peer(link.peer)
    scalars = soft.state.scalars
    return Hello(
        soft.state.cluster,
        soft.state.nonce,
        scalars.epoch,
        scalars.boot_id,
        soft.config.address,
        peer.last_offer,
        peer.mark,
        watermark(soft, link.peer) if peer.last_offer != BEFORE_ANY else BEFORE_ANY,
        link.have,
        peer.nonce,
        seen_of(soft, link.peer),
    )


def make_refusal(soft: Soft, link: Link, reason: str, nonce: bytes) -> Refusal:
    """Say why a peer is not let in, and what its own log would have to hold (C3).

    What was seen of another life of that node says nothing about this one.
    """
    is_same = soft.state.peer(link.peer).nonce in (b"", nonce)
    return Refusal(printable(reason), seen_of(soft, link.peer) if is_same else None)


def seen_of(soft: Soft, peer: NodeId) -> SealedProof | None:
    """Return the newest proof of a peer's log."""
    known = soft.state.peer(peer)
    seen = soft.seen.get(peer)
    if seen is None and known.seen_lsn:
        return SealedProof(known.seen_lsn, known.seen_digest, known.seen_boot, known.seen_mac)
    return seen


def refuse_hello(soft: Soft, link: Link, hello: Hello) -> str:
    """Say why a hello is refused; empty if it is not (C3)."""
    known = soft.state.peer(link.peer)
    name = f"node {link.peer}"
    if hello.cluster != soft.state.cluster:
        return f"{name} belongs to cluster {hello.cluster}, not {soft.state.cluster}"
    if known.nonce and known.nonce != hello.nonce:
        told = f"{name} has another birth nonce: another node uses its id"
        return f"{told}, or `recover-node --accept` has not told this one of it"
    if hello.known and hello.known != soft.state.nonce:
        told = f"{name} knows another life of node {soft.state.node_id}, with another birth nonce"
        return f"{told}: `recover-node --accept` has not told it of this one"
    if hello.epoch < known.epoch:
        return f"{name} comes with epoch {hello.epoch}, but {known.epoch} was seen: an old copy"
    if hello.epoch == known.epoch and known.boot_id and hello.boot_id != known.boot_id:
        return f"{name} runs twice in epoch {hello.epoch}: a copy of its directory is live"
    if hello.last_offer < known.mark:
        return f"{name} has forgotten offers that were decided here: an old copy"
    if hello.mark < known.answered:
        return f"{name} has forgotten answers it gave: an old copy"
    if hello.watermark < known.forgotten:
        return f"{name} has forgotten settlements it acknowledged: an old copy"
    return ""


def judge_proof(soft: Soft, seen: SealedProof | None) -> Standing:
    """Tell what a proof that a peer quotes says about our log; if it is MISSING we must stop."""
    if seen is None:
        return Standing.KNOWN
    if not is_sealed(soft.state, seen):
        return Standing.FORGED
    return Standing.KNOWN if soft.has_proof(seen) else Standing.MISSING


def outcast(soft: Soft) -> str:
    """Say who refuses this node, if nobody lets it in; empty if it may serve (C3)."""
    if soft.stopped or any(link.has_let_in for link in soft.links.values()):
        return soft.stopped
    refusing = [link for _, link in sorted(soft.links.items()) if link.refused]
    return "; ".join(f"node {link.peer}: {link.refused}" for link in refusing)


def peer_seen(soft: Soft, link: Link, hello: Hello) -> PeerSeen | None:
    """Return the record of a new incarnation or address; forced before the hello is answered."""
    known = soft.state.peer(link.peer)
    now = (hello.nonce, hello.epoch, hello.boot_id, hello.address)
    if (known.nonce, known.epoch, known.boot_id, known.address) == now:
        return None
    return PeerSeen(link.peer, *now)


def open_session(soft: Soft, link: Link, session: Session) -> None:
    """Make a session the current one; what the last one left is gone (S6)."""
    link.session = link.last_session = session
    link.is_helloed = link.is_synced = link.is_aside_there = False
    link.pace.begin()
    if link.is_suspected:
        trust(soft, link)
    link.incoming = link.outgoing = link.tail = link.told = None
    link.is_ack_due = False


def close_session(soft: Soft, link: Link, reason: str) -> None:
    """End the current session: the peer's orders leave matching at once (B5)."""
    link.session = None
    link.is_helloed = link.is_synced = link.is_aside_there = False
    link.pace.begin()
    link.incoming = link.outgoing = link.tail = None
    link.progress_us = link.level_us  # sessions that come and go are no progress (B5)
    link.detail = reason
    soft.refresh_matched()


def trust(soft: Soft, link: Link) -> None:
    """Give a peer its full time again: it was suspected, and may come back (B5)."""
    link.heard_us = link.progress_us = link.level_us = link.taken_us = soft.now_us


def is_overdue(soft: Soft, link: Link) -> bool:
    """Tell whether a peer must be suspected now; call it at every tick (B5)."""
    limit = soft.config.suspect_us
    if soft.now_us - link.heard_us > limit:
        return True
    is_syncing = link.is_helloed and not (link.is_synced or link.quarantine)
    if is_syncing and soft.now_us - link.taken_us > limit:
        return True  # it says hello, and never comes level: this node would never be ready (C6)
    if link.applied >= soft.stream_seq:
        link.progress_us = link.level_us = soft.now_us
    return soft.now_us - link.progress_us > limit


def new_link(soft: Soft, peer: NodeId) -> Link:
    """Start to know a peer; before the node is ready it has 3 s to appear (C5)."""
    within_us = soft.config.visible_within_us
    link = Link(peer, now_us=soft.now_us, suspected=soft.is_ready, within_us=within_us)
    soft.links[peer] = link
    return link


def quarantine_alarm(link: Link) -> Alarm:
    """Tell the operator."""
    return Alarm("peer_quarantined", f"node {link.peer}: {link.quarantine}")


def may_accept(soft: Soft, link: Link, session: Session) -> bool:
    """Tell whether a hello may open this session: a dialer's, above all before it (S6)."""
    return link.peer < soft.state.node_id and session > link.last_session
