"""Commands about the keys of an account: made, replaced, revoked; each is durable (E2).

    key      | id               | powers
    ---------+------------------+------------------------------------
    its own  | main             | all of the account's
    another  | 16 hex digits of | its scopes, until it expires; never
             | its hash         | over keys

The engine keeps hashes alone.  A key's text passes through, to be told once.
"""

from exchange.domain.units import Micros
from exchange.engine.account_commands import STORAGE_FULL, UNKNOWN_ACCOUNT, open_account
from exchange.engine.decision import Decision, answered
from exchange.engine.effects import Done, KeyAnswer, Refused
from exchange.engine.inputs import CreateKey, RevokeKey, RotateKey, SetKey
from exchange.engine.records import KeyCreated, KeyRevoked, KeySet
from exchange.engine.soft import Soft

MAIN = "main"  # the id of the key that an account was opened with, and of those that replace it
KEYS_MAX = 32  # of one account beside its own: all are in memory
ALL_SCOPES = 3
UNKNOWN_KEY = Refused("unknown_key", "the account has no key of this id; `key.list` has them")


def key_id_of(key_hash: bytes) -> str:
    """Return the public name of a key."""
    return key_hash[:8].hex()


def decide_set_key(soft: Soft, item: SetKey) -> Decision:
    """Replace the hash of an account's API key."""
    if open_account(soft, item.account) is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    decision = answered(item.ticket, Done())
    decision.records.append(KeySet(item.account, item.key_hash, soft.wall))
    return decision


def decide_create_key(soft: Soft, item: CreateKey) -> Decision:
    """Make another key for an account, with scopes and perhaps an end."""
    if open_account(soft, item.account) is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    if soft.is_storage_full:
        return answered(item.ticket, STORAGE_FULL)
    if len(soft.state.keys_of.get(item.account, ())) >= KEYS_MAX:
        detail = f"an account has at most {KEYS_MAX} keys beside its own; revoke one"
        return answered(item.ticket, Refused("too_many_keys", detail))
    expires = Micros(soft.wall + item.expires_in * 1_000_000 if item.expires_in else 0)
    key_id = key_id_of(item.key_hash)
    answer = KeyAnswer(item.account, key_id, item.api_key, item.scopes, expires)
    decision = answered(item.ticket, answer)
    decision.records.append(
        KeyCreated(item.account, key_id, item.key_hash, item.scopes, expires, soft.wall)
    )
    return decision


def decide_rotate_key(soft: Soft, item: RotateKey) -> Decision:
    """Put a new key in the place of one: the old one opens nothing from the same LSN on."""
    account = open_account(soft, item.account)
    if account is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    if item.key_id == MAIN:
        answer = KeyAnswer(item.account, MAIN, item.api_key, ALL_SCOPES, Micros(0))
        decision = answered(item.ticket, answer)
        decision.records.append(KeySet(item.account, item.key_hash, soft.wall))
        return decision
    old = soft.state.keys.get((item.account, item.key_id))
    if old is None:
        return answered(item.ticket, UNKNOWN_KEY)
    key_id = key_id_of(item.key_hash)
    answer = KeyAnswer(item.account, key_id, item.api_key, old.scopes, old.expires)
    decision = answered(item.ticket, answer)
    decision.records += [
        KeyRevoked(item.account, item.key_id, soft.wall),
        KeyCreated(item.account, key_id, item.key_hash, old.scopes, old.expires, soft.wall),
    ]
    return decision


def decide_revoke_key(soft: Soft, item: RevokeKey) -> Decision:
    """Make a key worthless.  Without its own, an account needs the operator for another."""
    account = open_account(soft, item.account)
    if account is None:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    decision = answered(item.ticket, Done())
    if item.key_id == MAIN:
        if not account.key_hash:
            return answered(item.ticket, UNKNOWN_KEY)
        decision.records.append(KeySet(item.account, b"", soft.wall))
    elif (item.account, item.key_id) in soft.state.keys:
        decision.records.append(KeyRevoked(item.account, item.key_id, soft.wall))
    else:
        return answered(item.ticket, UNKNOWN_KEY)
    return decision
