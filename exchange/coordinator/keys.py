"""API keys and the operator key: 32 random bytes as text, kept as a keyed hash.

The hash is blake2b-256 of the key's text, keyed with the cluster's name: what one cluster
stores is worth nothing in another.  Keys are random, so a slow hash would protect nothing
and be an attack by itself (faults 3).

An account's key as people get it is `<user id>.<secret>`: a gateway that is shown nothing but
the key knows whose it is, and so which node decides (C7).  The secret alone is hashed, and
the bare secret is as good a key where the account is named beside it.
"""

import hmac
import re
import secrets
from hashlib import blake2b
from pathlib import Path

from exchange.coordinator.errors import CoordinatorError
from exchange.domain.units import AccountId, format_id, parse_id
from exchange.process.files import write_file

KEY_BYTES = 32
KEY_TEXT_MAX = 256  # characters; longer texts are no keys and are not hashed
HASH_BYTES = 32
_OWNER = re.compile(r"\A[0-9]{1,4}-[0-9]{1,16}\.", re.ASCII)


def new_key() -> str:
    """Make a key: 43 characters that are safe in a URL, a header and a shell."""
    return secrets.token_urlsafe(KEY_BYTES)


def account_key(account: AccountId, secret: str) -> str:
    """Return the key of an account as people get it: its secret, and whose it is."""
    return f"{format_id(account)}.{secret}"


def minted(cluster: str, account: AccountId) -> tuple[str, bytes]:
    """Make a key of an account; return it with what is stored of it."""
    key = account_key(account, new_key())
    return key, hash_key(key, cluster)


def owner_of(key: str) -> AccountId | None:
    """Return the account that a key names, None if it names none; it proves nothing."""
    owner = parse_id(key.partition(".")[0])
    return None if owner is None else AccountId(owner)


def hash_key(key: str, cluster: str) -> bytes:
    """Return what is stored of a key: the hash of its secret."""
    secret = _OWNER.sub("", key, count=1)
    return blake2b(secret.encode(), key=cluster.encode()[:64], digest_size=HASH_BYTES).digest()


def is_key(key: str, key_hash: bytes, cluster: str) -> bool:
    """Tell, in constant time, whether a text is the key that a hash was made of."""
    if len(key) > KEY_TEXT_MAX or not key_hash:
        return False
    return hmac.compare_digest(hash_key(key, cluster), key_hash)


def operator_key(path: Path) -> tuple[str, bool]:
    """Read the operator key, made at the first start (0600); tell whether it is new."""
    try:
        if path.exists():
            return _read(path), False
        key = new_key()
        write_file(path, key.encode() + b"\n")
        return key, True
    except OSError as error:
        raise CoordinatorError(
            f"{path}: {error.strerror}", remedy="check the disk and the permissions"
        ) from error


def _read(path: Path) -> str:
    text = path.read_bytes().decode(errors="replace").strip()
    if not 16 <= len(text) <= KEY_TEXT_MAX:
        raise CoordinatorError(
            f"{path} holds no operator key", remedy="put it back, or delete it to get a new one"
        )
    return text
