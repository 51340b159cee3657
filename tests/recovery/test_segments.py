"""Segments carry frames and chain, and are believed with their digest only (W4)."""

from pathlib import Path

import pytest

from recovery.archive import archive
from recovery.pages import BadFile
from recovery.segments import (
    Segment,
    check_trailer,
    find_segments,
    read_header,
    read_segment,
    records_in,
)
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames


@pytest.fixture
def segments(traded: Cluster, tmp_path: Path) -> list[Segment]:
    archive(traded.paths[0], tmp_path / "archive", before=5)
    archive(traded.paths[0], tmp_path / "archive", before=9)
    return find_segments(tmp_path / "archive", 1)


def test_segments_join(segments: list[Segment]) -> None:
    """W4: the digest chain goes on."""
    first, second = segments

    assert first.header.base_lsn == 0
    assert first.header.last_lsn == second.header.base_lsn == 4
    assert first.header.last_digest == second.header.base_digest
    assert [int.from_bytes(key) for key, _ in read_segment(second)] == [5, 6, 7, 8]


@pytest.mark.parametrize("base_lsn", [8, 9])
def test_a_missing_segment_is_noticed(
    segments: list[Segment], tmp_path: Path, base_lsn: int
) -> None:
    """W4: by its LSNs, and by the digest before it if they fit."""
    third = tmp_path / "archive" / "node1-later.segment"
    header = segments[1].header
    text = segments[0].path.read_bytes()
    third.write_bytes(text.replace(b'"base_lsn":0', b'"base_lsn":%d' % base_lsn))
    assert header.node_id == 1

    with pytest.raises(BadFile, match="does not follow"):
        find_segments(tmp_path / "archive", 1)
    assert find_segments(tmp_path / "archive", 2) == []


def test_every_flipped_byte_is_noticed(segments: list[Segment], tmp_path: Path) -> None:
    """W4; faults 3: a hostile file is a finding."""
    original = segments[0].path.read_bytes()
    file = tmp_path / "flipped.segment"
    for place in range(len(original)):
        file.write_bytes(original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :])
        with pytest.raises(BadFile):
            check_trailer(file)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    """Bad input."""
    file = tmp_path / "x.segment"
    for text in (b"", b"{}", b"\xff\n", b'{"format": 99}'):
        file.write_bytes(text)
        with pytest.raises(BadFile):
            read_header(file)


def test_records_are_counted_without_decoding(traded: Cluster) -> None:
    """The next frame begins at first_lsn + count."""
    from recovery.pages import PageFile, Walk

    with PageFile(traded.paths[1] / "store" / "data.mdb") as pages:
        counts = [records_in(entry.value) for entry in pages.scan("log", Walk())]
    assert counts == [frame.count for frame in read_frames(traded.paths[1])]
