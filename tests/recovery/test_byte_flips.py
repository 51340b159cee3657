"""Every byte of a small data file flipped in turn: found, or provably without effect (W4, W5)."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange.domain.orders import Side
from exchange.store.store import Limits
from recovery.command import cli
from recovery.directory import DataDirectory, NoDirectory
from recovery.inspection import inspect
from recovery.pages import BIG_DATA, BRANCH, HEADER, LEAF, BadFile, PageFile, Tree, Walk
from recovery.problems import EXIT_CLEAN, EXIT_DAMAGED, EXIT_IN_DOUBT, EXIT_USAGE, exit_code
from recovery.verification import verify
from tests.recovery.cluster import Cluster, account_of, plain_account

LIVE_MAX = 8 << 10
Contents = dict[str, dict[bytes, bytes]]


def a_small_log(path: Path) -> Path:
    """Make a directory with every kind of table, and as little in it as there can be."""
    cluster = Cluster(path, nodes=2, limits=Limits()).start()
    cluster.list_instrument()
    for node in (1, 2):
        plain_account(cluster, node)
    cluster.put(account_of(1), Side.SELL, 5, 100, client_order_id="a")
    cluster.put(account_of(2), Side.BUY, 2, 101)
    cluster.nodes[1].checkpoint()  # type: ignore[index]
    cluster.place(account_of(2), Side.BUY, 1, 101)
    cluster.deliver(2, 1)
    cluster.kill_all()
    return cluster.paths[0]


def live_bytes(file: Path) -> Iterator[int]:
    """Yield the place of every byte that means something: reachable, and not free space."""
    with PageFile(file) as pages:
        size = pages.page_size
        yield from range(HEADER + 136)
        yield from range(size, size + HEADER + 136)
        trees = [pages.meta.main, pages.meta.free, *pages.tables().values()]
        for tree in trees:
            for page in reachable(pages, tree):
                yield from (page * size + offset for offset in used(pages, page))
                yield from extents(pages, page)


def reachable(pages: PageFile, tree: Tree) -> Iterator[int]:
    stack = [] if tree.root == (1 << 64) - 1 else [tree.root]
    while stack:
        number = stack.pop()
        yield number
        raw = pages.raw_page(number)
        if struct.unpack_from("=H", raw, 10)[0] & BRANCH:
            for offset in offsets(raw):
                low, high, top = struct.unpack_from("=HHH", raw, offset)
                stack.append(low | high << 16 | top << 32)


def offsets(raw: bytes) -> list[int]:
    (lower,) = struct.unpack_from("=H", raw, 12)
    return list(struct.unpack_from(f"={(lower - HEADER) // 2}H", raw, HEADER))


def used(pages: PageFile, number: int) -> Iterator[int]:
    raw = pages.raw_page(number)
    lower, upper = struct.unpack_from("=HH", raw, 12)
    yield from range(lower)
    yield from range(upper, pages.page_size)


def extents(pages: PageFile, number: int) -> Iterator[int]:
    """Yield the bytes of values that stand on pages of their own."""
    raw = pages.raw_page(number)
    if not struct.unpack_from("=H", raw, 10)[0] & LEAF:
        return
    for offset in offsets(raw):
        low, high, flags, key_size = struct.unpack_from("=HHHH", raw, offset)
        if flags & BIG_DATA:
            (first,) = struct.unpack_from("=Q", raw, offset + 8 + key_size)
            start = first * pages.page_size
            yield from range(start, start + HEADER + (low | high << 16))


def contents(path: Path) -> Contents | None:
    """Return all that a node would read of a directory."""
    try:
        with DataDirectory.open(path) as directory:
            found: Contents = {}
            for table in sorted(directory.pages.tables()):
                walk = Walk()
                entries = directory.pages.scan(table, walk)
                found[table] = {entry.key: entry.value for entry in entries}
                if walk.damage:
                    return None
            return found
    except (NoDirectory, BadFile):
        return None


def is_found(path: Path) -> bool:
    """Tell whether `verify` reports damage; the first word decides, `inspect` must not crash."""
    assert exit_code(inspect([path]).problems) in (EXIT_CLEAN, EXIT_DAMAGED, EXIT_USAGE)
    code = exit_code(verify([path]).problems)
    assert code != EXIT_IN_DOUBT
    return code in (EXIT_DAMAGED, EXIT_USAGE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_small_log(tmp_path_factory.mktemp("flips"))


PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_every_flip_of_a_live_byte_is_found_or_harmless(
    small: Path, tmp_path: Path, part: int
) -> None:
    """Issue: every flip is detected or provably harmless, no verb crashes, none hangs."""
    original = (small / "store" / "data.mdb").read_bytes()
    places = sorted(set(live_bytes(small / "store" / "data.mdb")))
    before = contents(small)
    assert before is not None
    assert sum(len(k) + len(v) for rows in before.values() for k, v in rows.items()) <= LIVE_MAX
    (tmp_path / "store").mkdir()
    file = tmp_path / "store" / "data.mdb"
    file.write_bytes(original)
    found = harmless = 0
    descriptor = os.open(file, os.O_RDWR)
    for number, place in enumerate(places[part::PARTS]):
        os.pwrite(descriptor, bytes([original[place] ^ 1 << number % 8]), place)
        if is_found(tmp_path):
            found += 1
        else:
            assert contents(tmp_path) == before, f"byte {place} changed what is read, unnoticed"
            harmless += 1
        os.pwrite(descriptor, original[place : place + 1], place)
    os.close(descriptor)
    assert file.read_bytes() == original
    assert found > 5 * harmless


def test_a_byte_out_of_use_is_never_read(small: Path, tmp_path: Path) -> None:
    """Issue: provably harmless, because no reader reaches it."""
    data = bytearray((small / "store" / "data.mdb").read_bytes())
    live = set(live_bytes(small / "store" / "data.mdb"))
    for place in range(len(data)):
        if place not in live:
            data[place] ^= 0xFF
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(data)

    assert contents(tmp_path) == contents(small)


@pytest.mark.parametrize("words", [["log"], ["log", "--stats"], ["timeline", "2-2"]])
def test_the_other_verbs_survive_flips_too(small: Path, tmp_path: Path, words: list[str]) -> None:
    """Issue: no verb crashes."""
    original = (small / "store" / "data.mdb").read_bytes()
    places = sorted(set(live_bytes(small / "store" / "data.mdb")))
    (tmp_path / "store").mkdir()
    file = tmp_path / "store" / "data.mdb"
    for place in places[:: len(places) // 150]:
        changed = bytearray(original)
        changed[place] ^= 0x55
        file.write_bytes(changed)
        result = CliRunner().invoke(cli, [*words, str(tmp_path)])
        assert result.exception is None or isinstance(result.exception, SystemExit), place
