"""Whatever page is destroyed, every intact frame comes back and the rest is listed (W4, W5)."""

import random
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from exchange.store.frames import Frame
from recovery.pages import HEADER, PageFile, Walk
from recovery.replay import CannotReplay
from recovery.salvage import Salvaged, salvage
from recovery.segments import find_segments, read_segment
from recovery.verification import verify
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.logs import read_frames

PAGE = 4096


def a_long_log(path: Path, *, checkpoint: bool) -> Path:
    """Make a log over several pages, with frames that have pages of their own."""
    cluster = a_market(path, nodes=1)
    for number in range(30):
        cluster.place(account_of(1, 1), Side.SELL, 3, 100 + number)
    node = cluster.nodes[1]  # type: ignore[index]
    for _ in range(3):
        cluster.place_many(account_of(1, 1), Side.SELL, 60)
        cluster.place(account_of(1, 2), Side.BUY, 5, 120)
    if checkpoint:
        node.checkpoint()
        cluster.place(account_of(1, 2), Side.BUY, 2, 120)
        cluster.place_many(account_of(1, 1), Side.SELL, 60)
    cluster.kill_all()
    return cluster.paths[0]


def places(path: Path) -> dict[int, set[int]]:
    """Return the pages that each frame stands on, by first LSN."""
    found: dict[int, set[int]] = {}
    with PageFile(path / "store" / "data.mdb") as pages:
        for entry in pages.scan("log", Walk()):
            raw = pages.raw_page(entry.page)
            found[int.from_bytes(entry.key)] = {entry.page}
            at = raw.find(entry.key) + len(entry.key)
            if len(entry.value) > PAGE // 2:
                first = int.from_bytes(raw[at : at + 8], "little")
                count = (HEADER + len(entry.value) - 1) // PAGE + 1
                found[int.from_bytes(entry.key)] |= set(range(first, first + count))
    return found


def recovered(result: Salvaged, to: Path) -> set[int]:
    """Return the first LSNs of all frames in the new log and in segment files."""
    found: set[int] = set()
    if result.path:
        found |= {frame.first_lsn for frame in read_frames(to)}
    folder = to.with_name(to.name + ".frames")
    if folder.exists():
        for file in folder.glob("*.segment"):
            for segment in find_segments_alone(file):
                found |= segment
    return found


def destroy_frame(path: Path, index: int) -> int:
    """Flip a byte of a frame wherever it stands, also in pages that are free; return its LSN."""
    file = path / "store" / "data.mdb"
    with PageFile(file) as pages:
        entry = list(pages.scan("log", Walk()))[index]
    body = entry.value[:-16]
    changed = body[:-1] + bytes([body[-1] ^ 1])
    file.write_bytes(file.read_bytes().replace(body, changed))
    return int.from_bytes(entry.key)


def find_segments_alone(file: Path) -> list[set[int]]:
    from recovery.segments import Segment, read_header

    segment = Segment(file, read_header(file))
    return [{int.from_bytes(key) for key, _ in read_segment(segment)}]


@pytest.mark.parametrize("checkpoint", [False, True])
def test_every_destroyed_page_costs_only_what_stood_on_it(tmp_path: Path, checkpoint: bool) -> None:
    """Issue: one destroyed page."""
    path = a_long_log(tmp_path / "market", checkpoint=checkpoint)
    file = path / "store" / "data.mdb"
    original, stands = file.read_bytes(), places(path)
    frames: dict[int, Frame] = {frame.first_lsn: frame for frame in read_frames(path)}
    source = random.Random(1)
    for page in range(len(original) // PAGE):
        destroyed = source.randbytes(PAGE)
        file.write_bytes(original[: page * PAGE] + destroyed + original[(page + 1) * PAGE :])
        to = tmp_path / f"salvaged{page}"
        result = salvage(path, to)
        intact = {lsn for lsn, pages in stands.items() if page not in pages}
        assert recovered(result, to) >= intact, f"page {page}"
        lost = {lsn for hole in result.lost for lsn in range(hole.first, hole.last + 1)}
        assert lost.isdisjoint(intact)
        _check_new(result, to, frames)
    file.write_bytes(original)


def _check_new(result: Salvaged, to: Path, frames: dict[int, Frame]) -> None:
    """Check that the new directory verifies, and that its frames are the old ones."""
    if not result.path:
        return
    assert [found.code for found in verify([to]).problems if found.code != "unread"] == []
    for frame in read_frames(to):
        assert frame == frames[frame.first_lsn]


def test_an_intact_directory_comes_back_whole(traded: Cluster, tmp_path: Path) -> None:
    """W4."""
    result = salvage(traded.paths[0], tmp_path / "new")

    assert result.is_state_whole
    assert (result.lost, result.loose, result.damage) == ([], [], [])
    assert read_frames(tmp_path / "new") == read_frames(traded.paths[0])


def test_a_hole_before_the_checkpoint_loses_no_state(traded: Cluster, tmp_path: Path) -> None:
    """W5: the tables stand for what is missing."""
    lsn = destroy_frame(traded.paths[0], 4)
    result = salvage(traded.paths[0], tmp_path / "new")

    assert result.is_state_whole
    assert [(hole.first, hole.last) for hole in result.lost] == [(lsn, lsn)]
    assert result.loose == []  # the damaged frame still shows its digest
    assert result.segments
    again = verify([tmp_path / "new", traded.paths[1]])
    assert {found.code for found in again.problems} == {"unread"}
    node = traded.nodes[1]  # type: ignore[index]
    node.path = tmp_path / "new"
    for each in traded.nodes.values():
        each.start()
    traded.link_all()
    traded.settle()
    assert not node.stopped


def test_a_hole_behind_the_checkpoint_is_told(traded: Cluster, tmp_path: Path) -> None:
    """W4: never skip; node 2 has no checkpoint."""
    lsn = destroy_frame(traded.paths[1], 4)
    result = salvage(traded.paths[1], tmp_path / "new")

    assert not result.is_state_whole
    assert result.last_lsn == lsn - 1
    assert find_segments(tmp_path / "new.frames", 2)


def test_a_destroyed_end_is_never_called_whole(tmp_path: Path) -> None:
    """Issue: it lists the rest.  A file that was cut has no hole to see, and its end is gone."""
    path = a_long_log(tmp_path, checkpoint=False)
    last = max(places(path))
    data = path / "store" / "data.mdb"
    raw = bytearray(data.read_bytes())
    for page in places(path)[last]:
        raw[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    data.write_bytes(raw)
    result = salvage(path, tmp_path / "new")

    assert result.last_lsn < last
    assert not result.is_state_whole


def test_nothing_intact_makes_no_directory(traded: Cluster, tmp_path: Path) -> None:
    """An empty log under the old identity would be an old copy that looks like a new node."""
    (traded.paths[0] / "store" / "data.mdb").write_bytes(b"")
    result = salvage(traded.paths[0], tmp_path / "new")

    assert not result.path
    assert not result.is_state_whole
    assert not (tmp_path / "new").exists()


def test_what_names_no_owner_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Bad input: nothing says whose frames these would be."""
    store = tmp_path / "old" / "store"
    store.mkdir(parents=True)
    (store / "data.mdb").write_bytes(bytes(8 * 4096))

    with pytest.raises(CannotReplay, match="put the node's file `identity` there"):
        salvage(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()
