"""Small files are whole or not there."""

from pathlib import Path

from exchange.process.files import write_file


def test_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    """Faults 2.5: a truncated file is never seen."""
    path = tmp_path / "operator.hash"
    write_file(path, b"old")

    write_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["operator.hash"]
