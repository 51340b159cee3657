"""Where order flow comes from."""

import gzip
from pathlib import Path

import pytest

from exchange.client.errors import UsageError
from exchange.client.flow import Flow
from exchange.client.sources import open_flow, symbol_of

TEXT = "ts_ns,kind,side,price,quantity,order_id\n1,add,buy,10.01,5,a\n"


def opened(file: Path | None, **more: int) -> tuple[str, Flow]:
    """Open a source with small sizes."""
    sizes = {"seed": 1, "instruments": 2, "accounts": 3, "orders": 10, **more}
    return open_flow(file, symbol=None, **sizes)


def test_packed_and_plain_files_are_the_same(tmp_path: Path) -> None:
    """Issue item 8: CSV, gzipped or not."""
    plain, packed = tmp_path / "x.csv", tmp_path / "x.csv.gz"
    plain.write_text(TEXT)
    packed.write_bytes(gzip.compress(TEXT.encode()))

    assert opened(plain)[1] == opened(packed)[1]
    assert opened(plain)[0] == "x.csv"


def test_without_a_file_flow_is_random() -> None:
    """Issue item 8: `--generate`."""
    name, flow = opened(None, seed=7)

    assert (name, len(flow.actions), len(flow.instruments)) == ("seed 7", 10, 2)


@pytest.mark.parametrize(
    ("name", "symbol"), [("esh4.csv.gz", "ESH4"), ("es-h4.csv", "ES"), ("2024.csv", "2024")]
)
def test_symbol_is_made_of_the_name(name: str, symbol: str) -> None:
    """Issue item 8."""
    assert symbol_of(Path("/data") / name) == symbol


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\x1f\x8bnot gzip", b"a,b\n"])
def test_file_that_is_no_flow_is_named(tmp_path: Path, content: bytes) -> None:
    """Bad input: what and where."""
    path = tmp_path / "bad.csv"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=r"bad\.csv"):
        opened(path)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Bad input: what and where."""
    with pytest.raises(UsageError, match="nowhere"):
        opened(tmp_path / "nowhere.csv")
