"""The store keeps what was forced, says nothing of what was not, and refuses what is damaged."""

from collections.abc import Sequence

import pytest

from exchange.domain.units import Epoch, Lsn, Micros
from exchange.engine.messages import Proof
from exchange.engine.proofs import seal
from exchange.engine.records import Booted
from exchange.engine.state import State
from exchange.store import crash
from exchange.store.disk import Change
from exchange.store.errors import DamagedLog, DamagedTable, StoreFailed, WrongDirectory
from exchange.store.frames import DIGEST_SIZE, Identity, log_key, read_frame, span_of
from exchange.store.meta import BASE
from exchange.store.store import Limits, Store
from exchange.store.tables import seal as seal_row
from exchange.store.verify import fold
from fuzz.disk import Failure, SimulatedDisk
from tests.exchange.store.scene import (
    EAGER,
    IDENTITY,
    NODE,
    PEER,
    check,
    deposits,
    entries,
    force,
    force_all,
    open_store,
    prepare,
    traded,
)
from tests.support.proofs import a_proof

NEWER = a_proof(9, b"newer")


class CountingDisk(SimulatedDisk):
    """A disk that counts its forces."""

    forces = 0

    def write(self, changes: Sequence[Change]) -> None:
        self.forces += 1
        super().write(changes)


def test_everything_decided_since_the_last_force_is_one_value_in_one_write() -> None:
    """W2."""
    disk = CountingDisk()
    store = open_store(disk)
    before = disk.forces

    force(store, deposits(200))

    ((key, value),) = disk.scan("log")
    frame = read_frame(key, value)
    assert disk.forces == before + 1
    assert (frame.first_lsn, frame.count, frame.last_lsn) == (1, 201, store.durable_lsn)
    check(store)


@pytest.mark.parametrize("limits", [EAGER, Limits(dirty=40), Limits(tail=50), Limits()])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_restart_finds_the_state_that_was_forced(limits: Limits, size: int) -> None:
    """E2, W4, W5: whatever is checkpointed and whatever is redone."""
    disk = SimulatedDisk()
    store = open_store(disk, limits)
    force_all(store, traded(), size=size)

    again = open_store(disk)

    folded = fold(disk, IDENTITY)
    assert again.proof == store.proof
    for name, table in folded.tables().items():
        redone = again.state.tables()[name]
        assert dict(table) == {key: redone.find(key) for key in table}
    for derived in ("open_by_account", "offers_by_taker", "offered_against", "acceptances_of"):
        assert _filled(again.state, derived) == _filled(folded, derived)
    check(again)


def _filled(state: State, derived: str) -> dict[object, object]:
    return {key: value for key, value in getattr(state, derived).items() if value}


def test_redo_and_the_live_path_make_the_same_bytes() -> None:
    """E5: the same records give the same frames and the same checkpoint."""
    first, second = SimulatedDisk(), SimulatedDisk()
    for disk in (first, second):
        force_all(open_store(disk, Limits(dirty=30)), traded())

    assert [list(first.scan(name)) for name in ("log", "meta", "accounts", "fills")] == [
        list(second.scan(name)) for name in ("log", "meta", "accounts", "fills")
    ]


def test_each_start_forces_the_next_epoch_alone_in_its_frame() -> None:
    """W6."""
    disk = CountingDisk()
    for expected in (1, 2, 3):
        store = open_store(disk)
        forces = disk.forces

        assert store.boot(boot_id=bytes(8), ts=Micros(expected)) == expected
        assert disk.forces == forces + 1

    frames = [read_frame(key, value) for key, value in disk.scan("log")]
    assert [frame.records for frame in frames] == [
        [Booted(Epoch(epoch), bytes(8), Micros(epoch))] for epoch in (1, 2, 3)
    ]
    assert [frame.epoch for frame in frames] == [1, 2, 3]
    check(store)


def test_a_failed_force_ends_the_store_and_redo_tells_what_happened() -> None:
    """E4: the outcome of a failed force is unknown; only the disk knows, after a reopening."""
    for failure, survives in ((Failure.LOST, False), (Failure.KEPT, True), (Failure.FULL, False)):
        disk = SimulatedDisk()
        store = open_store(disk)
        force(store, deposits(3))
        durable = store.proof
        write = prepare(store, deposits(2)[1:])
        disk.failure = failure

        with pytest.raises(StoreFailed) as failed:
            store.commit(write)

        assert failed.value.is_full is (failure is Failure.FULL)
        assert store.proof == durable, "nothing may be released"
        with pytest.raises(StoreFailed):
            store.commit(write)
        again = open_store(disk)
        assert again.proof == (write.proof if survives else durable)
        check(again)


def test_writes_are_forced_in_the_order_of_their_making() -> None:
    """E4: the next batch is prepared while one is forced, and never overtakes it."""
    store = open_store(SimulatedDisk())
    first = prepare(store, deposits(2))
    second = prepare(store, deposits(2)[1:])

    with pytest.raises(AssertionError):
        store.commit(second)
    store.commit(first)
    store.commit(second)

    assert store.durable_lsn == store.state.lsn == 5
    check(store)


def test_no_checkpoint_begins_while_one_is_under_way() -> None:
    """W5."""
    store = open_store(SimulatedDisk(), EAGER)
    first = prepare(store, deposits(2))
    second = prepare(store, deposits(2)[1:])

    assert first.checkpoint is not None
    assert second.checkpoint is None
    for write in (first, second):
        store.commit(write)
        store.committed(write)
    assert store.checkpoint_lsn == 3
    assert open_store(store.disk).redone == 2
    check(store)


def test_a_forced_checkpoint_leaves_nothing_to_redo() -> None:
    """W5: a graceful stop."""
    disk = SimulatedDisk()
    store = open_store(disk)
    force(store, deposits(5))

    force(store, [], checkpoint=True)

    again = open_store(disk)
    assert (again.redone, again.checkpoint_lsn) == (0, store.durable_lsn)
    assert force(again, [], checkpoint=True).is_empty, "there is nothing new"
    check(again)


def test_a_step_without_records_forces_nothing() -> None:
    """W2: acks are lazy, nothing is forced for what a peer has said of its log."""
    disk = CountingDisk()
    store = open_store(disk)
    proof = force(store, deposits(1)).proof
    forces = disk.forces

    write = force(store, [], seen={PEER: NEWER})

    assert write.is_empty
    assert (disk.forces, store.proof) == (forces, proof)
    check(store)


def test_the_last_proof_of_each_peer_is_in_the_next_frame_with_records() -> None:
    """C3: what a peer was seen to have forced is durable here with our next frame."""
    disk = SimulatedDisk()
    store = open_store(disk)
    force(store, [], seen={PEER: a_proof(8, b"older")})
    force(store, [], seen={PEER: NEWER})
    assert not store.state.peer(PEER).seen_lsn, "not before a frame says so: redo must agree"

    force(store, deposits(1))

    live, redone = store.state.peer(PEER), open_store(disk).state.peer(PEER)
    assert (live.seen_lsn, live.seen_digest) == (9, NEWER.digest)
    assert redone == live
    check(store)


def test_what_was_seen_is_in_the_checkpoint_of_its_frame() -> None:
    """C3, W5: a checkpoint stands at the end of its frame, header included."""
    disk = SimulatedDisk()
    store = open_store(disk)
    force(store, deposits(1), seen={PEER: NEWER}, checkpoint=True)

    again = open_store(disk)

    assert again.redone == 0
    assert again.state.peer(PEER).seen_digest == NEWER.digest
    check(again)


@pytest.mark.parametrize("size", [1, 3])
def test_the_digest_of_every_frame_end_can_be_shown(size: int) -> None:
    """C3: a node whose log lacks what a peer saw is an old copy of itself."""
    disk = SimulatedDisk()
    store = open_store(disk)
    frames = [deposits(size), *[deposits(size)[1:]] * 3]
    proofs = [store.proof, *[force(store, frame).proof for frame in frames]]

    ends = {proof.lsn: proof.digest for proof in proofs}
    for lsn in range(store.durable_lsn + 2):
        assert store.digest_at(Lsn(lsn)) == ends.get(Lsn(lsn))
    check(store)


def archived(store: Store) -> None:
    """Move all frames before the last one away."""
    *gone, _ = store.disk.scan("log")
    key, value = gone[-1]
    first, count = span_of(key, value)
    base = Proof(Lsn(first + count - 1), value[-DIGEST_SIZE:])
    changes: list[Change] = [("log", key, None) for key, _ in gone]
    store.disk.write([*changes, ("meta", BASE, seal_row(BASE, base))])


def test_what_was_archived_is_known_by_its_boots() -> None:
    """C3: a backup, restored, and archived behind what peers have seen, passed for current."""
    disk = SimulatedDisk()
    store = open_store(disk)
    store.boot(boot_id=b"before", ts=Micros(1))
    force_all(store, deposits(5), size=2)
    backup = disk.clone()
    in_both = seal(store.state, store.proof)
    force_all(store, deposits(9)[1:], size=2)
    in_one = seal(store.state, store.proof)
    store.boot(boot_id=b"after", ts=Micros(2))
    force_all(store, deposits(9)[1:], size=2)
    copy = open_store(backup)
    copy.boot(boot_id=b"the copy's", ts=Micros(3))
    force_all(copy, deposits(90)[1:], size=2)
    for each in (store, copy):
        force(each, deposits(3)[1:], checkpoint=True)
        archived(each)

    assert store.has_proof(in_both)
    assert store.has_proof(in_one)
    assert copy.has_proof(in_both)
    assert not copy.has_proof(in_one)


def test_a_frame_that_is_not_forced_cannot_be_shown() -> None:
    """C3, E3."""
    store = open_store(SimulatedDisk())
    write = prepare(store, deposits(1))

    assert store.digest_at(write.proof.lsn) is None


def test_a_flipped_bit_in_any_frame_is_refused_and_named() -> None:
    """W4."""
    disk = SimulatedDisk()
    store = open_store(disk)
    force_all(store, traded(), size=20)
    for checkpointed in (False, True):
        if checkpointed:
            force(store, [], checkpoint=True)
        for key, value in disk.scan("log"):
            for bit in range(0, 8 * len(value), 8 * 37 + 3):
                rotten = disk.clone()
                rotten.flip_bit("log", key, bit)

                with pytest.raises(DamagedLog) as refused:
                    open_store(rotten)

                assert refused.value.exit_code == 4
                assert f"LSN {refused.value.lsn}" in str(refused.value)


def test_a_missing_frame_is_refused_and_named() -> None:
    """W4: redo never skips."""
    disk = SimulatedDisk()
    force_all(open_store(disk), deposits(30), size=10)
    disk.write([("log", log_key(11), None)])

    with pytest.raises(DamagedLog) as refused:
        open_store(disk)

    assert 11 <= refused.value.lsn <= 21


def test_a_log_without_an_identity_is_refused() -> None:
    """W4: never taken for a new node."""
    disk = SimulatedDisk()
    force(open_store(disk), deposits(1))
    disk.write([("meta", b"identity", None)])

    with pytest.raises(DamagedTable):
        open_store(disk)


@pytest.mark.parametrize(
    "other",
    [
        Identity("elsewhere", NODE, IDENTITY.nonce),
        Identity("test", PEER, IDENTITY.nonce),
        Identity("test", NODE, bytes(16)),
    ],
)
def test_the_data_of_another_node_is_refused(other: Identity) -> None:
    """C3: another cluster, another node, another life of this one."""
    disk = SimulatedDisk()
    force(open_store(disk), deposits(1))

    with pytest.raises(WrongDirectory):
        Store.open(disk, other)


def test_two_nodes_never_share_a_chain() -> None:
    """C3: the same records of two nodes have different digests."""
    digests = set()
    for nonce in (b"one", b"two"):
        store = Store.open(SimulatedDisk(), Identity("test", NODE, nonce))
        digests.add(force(store, deposits(1)).proof.digest)

    assert len(digests) == 2


def test_memory_is_bounded_by_what_is_live() -> None:
    """E7: history and idle accounts leave memory, and are found again."""
    disk = SimulatedDisk()
    store = open_store(disk, Limits(dirty=1, accounts=0))
    force_all(store, traded())
    kept = entries(store.state)

    folded = fold(disk, IDENTITY)

    for name in ("accounts", "done", "account_orders", "client_keys", "fills", "trades"):
        assert not kept[name], "all clean entries are evicted"
        table = store.state.tables()[name]
        assert {key: table.find(key) for key in folded.tables()[name]} == folded.tables()[name]
        assert folded.tables()[name]
    check(store)


def test_crash_points_of_a_frame_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """W2, W5: before and after the force, with and without a checkpoint."""
    store = open_store(SimulatedDisk())
    passed: list[str] = []
    monkeypatch.setattr(crash, "hook", passed.append)

    force(store, deposits(1))
    force(store, [], checkpoint=True)
    open_store(store.disk).boot(boot_id=b"", ts=Micros(1))

    assert passed == [
        "frame_encoded_unforced",
        "frame_forced_effects_held",
        "checkpoint_encoded_unforced",
        "checkpoint_forced_effects_held",
        "checkpoint_forced_entries_kept",
        "tables_loaded_log_not_redone",
        "log_redone_epoch_unforced",
        "frame_encoded_unforced",
        "frame_forced_effects_held",
        "epoch_forced_nobody_told",
    ]


def test_digest_of_an_lsn_that_no_frame_ends_at_is_unknown() -> None:
    """C3: also when the frame is missing from the disk."""
    store = open_store(SimulatedDisk())
    force_all(store, deposits(30), size=5)
    for key, _ in list(store.disk.scan("log"))[:2]:
        store.disk.write([("log", key, None)])

    assert store.digest_at(Lsn(4)) is None
