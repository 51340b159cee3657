"""Rebuild a lost node from what the others know, or bring an old copy of it forward (C3).

Theory of operation
===================
The others know every trade that the lost node had with them: as its decider they hold their
acceptances and declines of its offers, as its proposers what it answered to theirs.  They know
nothing of its deposits and of trades between its own accounts.  What was open at the end they
have in memory, as far as they live.

The new directory is a new incarnation: a new birth nonce, the old node id and account ids, the
old copy's log first, if there is one.  Behind it stand ordinary records that make the halves of
all trades whole again:

    of an order that the old copy has open    the trade is booked to its account
    of any other order                        the order is made anew, for the **suspense
                                              account** N-0, with funds from outside
    an offer that the lost node declined      one lot of a suspense order, offered and released
    an offer to it without an answer          declined: what it answered is lost with it
    an order still open at the end            restored, if living nodes show it and its funds
                                              are recovered; else canceled, and listed

An order that a replica shows has a known account (`recovery.replicas`): its trades are booked
there.  Which orders are open again, and against which funds, says `recovery.restoration`.

So both halves of every trade agree and assets are conserved; what is in the suspense account
belongs to customers, and is theirs once an operator has found out whose.  Order, trade and offer
ids are never used again: epochs are above all that were seen, numbers go on from the clock.

The directory refuses to serve until the operator accepts what could not be recovered
(`recovery.rebirth`): its store has a name that no node looks for.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exchange.client.replicas import Shown
from exchange.domain.units import NodeId
from exchange.engine.proofs import SECRET_SIZE, seal
from exchange.store.directory import UNACCEPTED
from exchange.store.frames import Identity
from recovery.audit.reader import audit_log
from recovery.bulk import NewDirectory
from recovery.directory import data_file
from recovery.inspection import Look, open_all
from recovery.knowledge import Peer, Rebuilt
from recovery.losses import what_is_lost
from recovery.offline import now
from recovery.problems import EXIT_DAMAGED, EXIT_USAGE, Problem, exit_code
from recovery.reconstruction import Builder
from recovery.replay import CannotReplay
from recovery.replicas import read


def rebuild(
    node_id: int,
    peers: Sequence[Path],
    to: Path,
    *,
    backup: Path | None = None,
    archive: Path | None = None,
    shown: Sequence[Shown] = (),
) -> Rebuilt:
    """Build the directory of a lost node; the logs of the others from their archived beginning.

    `shown` are replicas that living nodes have shown before: their logs are read after that.
    """
    problems: list[Problem] = []
    with ExitStack() as opened:
        looks = open_all(peers, opened, problems, archive)
        for look in looks:
            look.read_log(lambda _: None)
            look.load_state()
            problems += look.problems
        if exit_code(problems) in (EXIT_DAMAGED, EXIT_USAGE):
            found = problems[0]
            raise CannotReplay(found.sentence, exit_code(problems))
        known = [_peer(look, NodeId(node_id), archive) for look in looks]
        if not known or any(peer.node == node_id for peer in known):
            raise CannotReplay("give the directories of the other nodes, and at least one", 2)
        if backup is None and not any(peer.known.nonce for peer in known):
            told = f"none of these has ever met a node {node_id}"
            raise CannotReplay(f"{told}; give the --node that is lost", EXIT_USAGE)
        cluster = known[0].identity.cluster
        identity = Identity(
            cluster, NodeId(node_id), secrets.token_bytes(16), secrets.token_bytes(SECRET_SIZE)
        )
        with NewDirectory(to, identity) as new:
            result = Rebuilt(str(to), node_id, identity.nonce.hex())
            instruments = {
                symbol: listing
                for peer in known
                for symbol, listing in peer.state.instruments.items()
            }
            replicas = read(shown, node_id, cluster, instruments)
            builder = Builder(new, result, known, replicas, now())
            if backup is not None:
                builder.copy(backup, archive)
            builder.run()
            result.between = builder.knowledge.between()
            result.absent = [int(node) for node in builder.knowledge.absent()]
            result.not_recovered = what_is_lost(result)
            proof = new.finish(UNACCEPTED)
            sealed = seal(new.store.state, proof)
        result.lsn, result.digest = proof.lsn, proof.digest.hex()
        result.boot_id, result.mac = sealed.boot_id.hex(), sealed.mac.hex()
        (to / "recovery.json").write_bytes(msgspec.json.encode(result) + b"\n")
        return result


def _peer(look: Look, lost: NodeId, archive: Path | None) -> Peer:
    assert look.chain is not None, "the log was read"
    assert look.state is not None, "the state was loaded"
    directory = look.directory
    log = audit_log(data_file(directory.path), archive=archive)
    if log.base_lsn:
        end = f"its log through LSN {log.base_lsn} is archived; give --archive DIR"
        raise CannotReplay(f"{directory.place}: {end}")
    return Peer(
        directory.node_id,
        directory.identity,
        seal(look.state, look.chain.last),
        log.halves,
        look.state,
        look.state.peer(lost),
    )
