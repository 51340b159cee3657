"""The checkpoint tables: how keys and entries become bytes, and how damage is noticed (W5).

    row        MessagePack || blake2b-128(key || MessagePack)
    integers   in keys: 8 bytes, big-endian, so that keys sort as their numbers do
    text       in keys: UTF-8; a zero byte ends it where a number follows

    kind       | in memory                     | a row is
    -----------+-------------------------------+---------------------------------------------
    resident   | whole, from the start         | one entry
    cold       | what is asked for (E7)        | one entry
    once       | what is asked for; written    | one entry
               | once, never changed           |
    history    | as `once`                     | a run: entries with consecutive sequence
               |                               | numbers, under the key of the first

A checkpoint costs by the number of rows, so history has a row per account and checkpoint, not
one per entry.  `docs/log-format.md` has the fields of every entry.
"""

import struct
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from exchange.domain.orders import Account, Fill, Order, Trade, Transfer
from exchange.domain.units import OrderId
from exchange.engine.records import OfferId
from exchange.engine.state import (
    Acceptance,
    AccountKey,
    Boot,
    ClientKey,
    HeuristicOut,
    Listing,
    OfferOut,
    PeerState,
    Scalars,
    Switch,
    TransferKey,
)
from exchange.store.errors import DamagedTable
from exchange.store.frames import DIGEST_SIZE, digest_of

K = TypeVar("K")
V = TypeVar("V")


class Kind(Enum):
    """How a table is kept; the table above says what each means."""

    RESIDENT = 1
    COLD = 2
    ONCE = 3
    HISTORY = 4


_ONE = struct.Struct(">Q")
_TWO = struct.Struct(">QQ")
_THREE = struct.Struct(">QQQ")
_encode = msgspec.msgpack.Encoder().encode


class Codec(Generic[K, V]):
    """Turns the keys and entries of one table into bytes and back."""

    def __init__(
        self,
        name: str,
        pack: Callable[[K], bytes],
        unpack: Callable[[bytes], K],
        entry: object,
        kind: Kind,
    ) -> None:
        self.name = name
        self.pack = pack
        self.unpack = unpack
        self.entry = entry  # the type of an entry
        self.kind = kind
        row: Any = list[entry] if kind is Kind.HISTORY else entry  # type: ignore[valid-type]
        self._decode = msgspec.msgpack.Decoder(row).decode

    def open(self, key: bytes, sealed: bytes) -> Any:  # noqa: ANN401 - V, or a list of V
        """Decode a row, or raise DamagedTable naming table and key (W5)."""
        body = check_entry(self.name, key, sealed)
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DamagedTable(self.name, key_text(self.name, key), str(error)) from error

    def open_key(self, key: bytes) -> K:
        """Decode a key, or raise DamagedTable."""
        try:
            return self.unpack(key)
        except (struct.error, ValueError, IndexError) as error:
            raise DamagedTable(self.name, key.hex(), "this is not a key of the table") from error


def seal(key: bytes, entry: object) -> bytes:
    """Encode a row with the digest over key and bytes."""
    body = _encode(entry)
    return body + digest_of(key + body)


def check_entry(table: str, key: bytes, sealed: bytes) -> bytes:
    """Return the MessagePack of a row, or raise DamagedTable if its digest does not fit."""
    body = sealed[:-DIGEST_SIZE]
    if digest_of(key + body) != sealed[-DIGEST_SIZE:]:
        raise DamagedTable(table, key_text(table, key), "the digest does not fit the row")
    return body


def digest_sum(sealed: Collection[bytes]) -> int:
    """Add up the digests of rows, each read as a big-endian number: a table's sum is made of it."""
    return sum(map(int.from_bytes, [row[-DIGEST_SIZE:] for row in sealed]))


def key_text(table: str, key: bytes) -> str:
    """Write a key for people; hexadecimal if it is none of this table."""
    codec = CODECS.get(table)
    if codec is None:
        return key.decode("utf-8", "replace")
    try:
        unpacked = codec.unpack(key)
    except (struct.error, ValueError, IndexError):
        return key.hex()
    if isinstance(unpacked, tuple):
        return " ".join(
            f"{part.epoch}.{part.seq}" if isinstance(part, OfferId) else str(part)
            for part in unpacked
        )
    return str(unpacked)


def _unpack_number(key: bytes) -> int:
    number: int = _ONE.unpack(key)[0]
    return number


def _pack_pair(key: tuple[int, int]) -> bytes:
    return _TWO.pack(*key)


def _unpack_pair(key: bytes) -> tuple[int, int]:
    first, second = _TWO.unpack(key)
    return first, second


def _pack_number_text(key: tuple[int, str]) -> bytes:
    return _ONE.pack(key[0]) + key[1].encode()


def _unpack_number_text(key: bytes) -> tuple[int, str]:
    return _ONE.unpack(key[:8])[0], key[8:].decode()


def _pack_text_number(key: tuple[str, int]) -> bytes:
    return key[0].encode() + b"\0" + _ONE.pack(key[1])


def _unpack_text_number(key: bytes) -> tuple[str, int]:
    if key[-9] != 0:
        raise ValueError("no zero byte between text and number")
    return key[:-9].decode(), _ONE.unpack(key[-8:])[0]


def _pack_offer(key: tuple[int, OfferId]) -> bytes:
    return _THREE.pack(key[0], key[1].epoch, key[1].seq)


def _unpack_offer(key: bytes) -> tuple[int, OfferId]:
    node, epoch, seq = _THREE.unpack(key)
    return node, OfferId(epoch, seq)


def _codecs() -> dict[str, Codec[Any, Any]]:
    number, pair = (_ONE.pack, _unpack_number), (_pack_pair, _unpack_pair)
    text = (str.encode, bytes.decode)
    number_text = (_pack_number_text, _unpack_number_text)
    text_number = (_pack_text_number, _unpack_text_number)
    offer = (_pack_offer, _unpack_offer)
    resident, cold, once, history = Kind
    rows: list[tuple[str, tuple[Any, Any], Any, Kind]] = [
        ("scalars", text, Scalars, resident),
        ("instruments", text, Listing, resident),
        ("accounts", number, Account, cold),
        ("orders", number, Order, resident),
        ("done", number, Order, once),
        ("account_orders", pair, OrderId, history),
        ("client_keys", number_text, ClientKey, once),
        ("fills", pair, Fill, history),
        ("transfers", pair, Transfer, history),
        ("trades", text_number, Trade, history),
        ("offers", offer, OfferOut, resident),
        ("heuristics", offer, HeuristicOut, resident),
        ("acceptances", offer, Acceptance, resident),
        ("peers", number, PeerState, resident),
        ("keys", number_text, AccountKey, resident),
        ("switches", number, Switch, resident),
        ("transfer_keys", number_text, TransferKey, once),
        ("boots", number, Boot, resident),
    ]
    return {
        name: Codec(name, pack, unpack, entry, kind) for name, (pack, unpack), entry, kind in rows
    }


CODECS = _codecs()  # by table, in the order of `State.tables`
