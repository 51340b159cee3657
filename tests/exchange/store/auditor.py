"""A reader of a store made from docs/log-format.md alone: it imports nothing of the exchange."""

import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import lmdb

Plain = Any  # whatever MessagePack holds
HISTORY = {"account_orders", "fills", "transfers", "trades"}


class Auditor:
    """Reads and checks the environment in `store/`."""

    def __init__(self, store: Path) -> None:
        self._env = lmdb.open(str(store), readonly=True, lock=False, max_dbs=64, create=False)
        with self._env.begin() as read:
            self.names = sorted(key.decode() for key, _ in read.cursor())

    def close(self) -> None:
        self._env.close()

    def meta(self, key: bytes) -> Plain:
        row = dict(self._scan("meta")).get(key)
        return None if row is None else _open(key, row)

    def records(self) -> list[Plain]:
        """Return all records of the log, in order; assert the chain."""
        _, cluster, node, nonce, _ = self.meta(b"identity")
        previous = _digest(_pack_identity(cluster, node, nonce))
        records: list[Plain] = []
        for key, value in self._scan("log"):
            body, digest = value[:-16], value[-16:]
            version, first_lsn, count, _, _, _, told = _decode(body)
            assert digest == _digest(previous + body), "the chain is broken"
            assert version == 1
            assert (int.from_bytes(key, "big"), first_lsn) == (first_lsn, len(records) + 1)
            assert count == len(told)
            records += told
            previous = digest
        return records

    def seen(self) -> dict[int, Plain]:
        """Return the last proof of each peer's log."""
        seen: dict[int, Plain] = {}
        for _, value in self._scan("log"):
            seen |= _decode(value[:-16])[5]
        return seen

    def table(self, name: str) -> dict[bytes, Plain]:
        """Return the entries of a table by key; assert digests, count and sum."""
        rows = dict(self._scan(name))
        count, total = self.meta(b"checkpoint")[2].get(name, (0, bytes(16)))
        digests = sum(int.from_bytes(row[-16:], "big") for row in rows.values())
        assert (len(rows), digests % 2**128) == (count, int.from_bytes(total, "big"))
        entries = {key: _open(key, row) for key, row in rows.items()}
        if name not in HISTORY:
            return entries
        return {
            key[:-8] + struct.pack(">Q", int.from_bytes(key[-8:], "big") + place): entry
            for key, run in entries.items()
            for place, entry in enumerate(run)
        }

    def _scan(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        table = self._env.open_db(name.encode(), create=False)
        with self._env.begin(db=table) as read:
            yield from list(read.cursor())


def _open(key: bytes, row: bytes) -> Plain:
    assert row[-16:] == _digest(key + row[:-16]), "a row is damaged"
    return _decode(row[:-16])


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _pack_identity(cluster: str, node: int, nonce: bytes) -> bytes:
    """Encode the three fields as MessagePack would: short text, a small integer, short bytes."""
    text = cluster.encode()
    assert len(text) < 32
    assert node < 128
    head = bytes([0x93, 0xA0 | len(text)]) + text
    return head + bytes([node]) + bytes([0xC4, len(nonce)]) + nonce


def _decode(data: bytes) -> Plain:
    value, end = _value(data, 0)
    assert end == len(data), "bytes behind the value"
    return value


def _value(data: bytes, at: int) -> tuple[Plain, int]:
    """Decode one MessagePack value; return it and the place behind it."""
    head, at = data[at], at + 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 0x100, at
    if head < 0x90:
        return _map(data, at, head & 0x0F)
    if head < 0xA0:
        return _array(data, at, head & 0x0F)
    if head < 0xC0:
        return data[at : at + (head & 0x1F)].decode(), at + (head & 0x1F)
    if head in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[head], at
    if 0xCC <= head <= 0xD3:
        size = 1 << (head & 3)
        return int.from_bytes(data[at : at + size], "big", signed=head >= 0xD0), at + size
    sizes = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}
    sizes |= {0xDE: 2, 0xDF: 4}
    length = int.from_bytes(data[at : at + sizes[head]], "big")
    at += sizes[head]
    if head <= 0xC6:
        return data[at : at + length], at + length
    if head <= 0xDB:
        return data[at : at + length].decode(), at + length
    return _array(data, at, length) if head <= 0xDD else _map(data, at, length)


def _array(data: bytes, at: int, length: int) -> tuple[list[Plain], int]:
    items = []
    for _ in range(length):
        item, at = _value(data, at)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, length: int) -> tuple[dict[Plain, Plain], int]:
    items = {}
    for _ in range(length):
        key, at = _value(data, at)
        items[key], at = _value(data, at)
    return items, at
