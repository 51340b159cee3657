"""Who may do what: an account's own key, the operator's key, or anyone under `--no-auth`.

    key                     | public | read   | trade  | keys | operator
    ------------------------+--------+--------+--------+------+---------
    none                    | yes    |        |        |      |
    the account's own       | yes    | yes    | yes    | yes  |
    another of the account  | yes    | scoped | scoped |      |
    the operator's          | yes    | yes    | yes    | yes  | yes, for any account of this node
    none, under `--no-auth` | yes    | yes    | yes    | yes  | yes

Keys are compared by keyed hash, in constant time, and a wrong key of a real account is told
nothing that a made-up account is not told.

A connection that was let in by a key that is revoked, replaced or expired since may no more
than one with a wrong key.

A gateway has one connection for all its users and says hello for none of them: each of its
requests brings the key of its own, and the key says whose it is (C7).
"""

import hmac
from collections.abc import Callable

import msgspec

from exchange.coordinator.keys import KEY_TEXT_MAX, hash_key, owner_of
from exchange.domain.units import AccountId, NodeId, format_id, node_of, parse_id
from exchange.engine.effects import Refused
from exchange.engine.key_commands import key_id_of
from exchange.engine.state import State
from exchange.node.powers import Power, power_of, user_id_of
from exchange.wire.envelope import Rich
from exchange.wire.handshake import ClientHello
from exchange.wire.requests import CreateOrder, OrderCreate, ReplicaList, Request

NOBODY = frozenset([Power.PUBLIC])
OWNER = frozenset([Power.PUBLIC, Power.READ, Power.TRADE, Power.KEYS])
SCOPES = {
    1: frozenset([Power.PUBLIC, Power.READ]),
    2: frozenset([Power.PUBLIC, Power.TRADE]),
    3: frozenset([Power.PUBLIC, Power.READ, Power.TRADE]),
}
OPERATOR = frozenset(Power)
KNOWN_MAX = 16_384  # keys of requests that are remembered; about 10 MB
BAD_KEY = Refused(
    "unauthorized",
    "the key is not one of this account, or is revoked or expired: send the one that"
    " the account was opened with, or let an operator make a new one (`exchange key rotate`)",
)


class Caller(msgspec.Struct, frozen=True):
    """On whose behalf a connection speaks, and what it may."""

    account: AccountId | None = None
    powers: frozenset[Power] = NOBODY
    may_trade: bool = False  # its own account, without asking again: orders are the hot path
    key_hash: bytes = b""  # of the key that let it in; empty if none was asked for
    version: int = 0  # of the keys when it was let in: they are asked again when it has moved


class Access:
    """Decides what callers of one node may do.  It only reads the state."""

    def __init__(
        self,
        state: State,
        *,
        is_authenticated: bool,
        operator_hash: Callable[[], bytes],
        wall_us: Callable[[], int],
    ) -> None:
        self._wall_us = wall_us
        self._state = state
        self._is_authenticated = is_authenticated
        self._operator_hash = operator_hash
        self._known: dict[str, Caller] = {}  # by a good key that requests brought, never OPERATOR

    @property
    def anyone(self) -> Caller:
        """Return the caller of a connection that has not said hello."""
        return Caller(None, NOBODY if self._is_authenticated else OPERATOR)

    def admit(self, hello: ClientHello) -> Caller | Refused:
        """Let a client in, or say why not."""
        if node_of(hello.account) != self._state.node_id:
            return _elsewhere(hello.account, self._state.node_id)
        if self._is_authenticated:
            return self._let_in(hello.account, hello.api_key or "")
        account = self._state.accounts.find(hello.account)
        if account is None or account.is_closed:
            return Refused("unknown_account", f"there is no open account {_name(hello.account)}")
        return Caller(hello.account, OPERATOR, may_trade=True)

    def speaker(self, request: Request, caller: Caller) -> Caller:
        """Return on whose behalf a request is: on a connection of nobody, its key's owner.

        Whether the key is a good one `check` tells; a good one is hashed once, until any key
        stops being good.
        """
        if caller.account is not None or not isinstance(request, Rich) or request.auth is None:
            return caller
        key = request.auth
        known: Caller | Refused | None = self._known.get(key)
        if isinstance(known, Caller) and known.version == self._state.key_changes:
            return known
        owner = owner_of(key)
        if owner is None:
            return caller
        known = self._let_in(owner, key) if self._is_authenticated else None
        if not isinstance(known, Caller) or known.powers is OPERATOR:
            return Caller(owner, caller.powers)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = known
        return known

    def check(self, request: Request, caller: Caller) -> Refused | None:
        """Say why a request is not allowed, None if it is."""
        needed = power_of(request)
        named = user_id_of(request)
        account = caller.account
        if named is not None:
            parsed = parse_id(named)
            if parsed is None:
                return None  # told in its own words when it is translated
            account = AccountId(parsed)
            if account != caller.account:
                needed = Power.OPERATOR
        powers = self._still(caller)
        key = request.auth if isinstance(request, Rich) else None
        if key is not None and self._is_authenticated:
            powers = self._powers(account, key)
            if not powers:
                return BAD_KEY
        if needed is Power.PUBLIC:
            return None
        if not powers:
            return BAD_KEY  # it was good when it let the caller in
        if account is None and not isinstance(request, ReplicaList):
            return Refused("no_account", "say which account first: its user id is the first line")
        if needed not in powers:
            return _forbidden(needed)
        if account is not None and node_of(account) != self._state.node_id:
            return _elsewhere(account, self._state.node_id)
        return None

    def may_list(self, request: Request) -> bool:
        """Tell whether a request that is allowed may list the plain ticker that it names (M2).

        What a trader mistypes must not become an instrument, so only an operator's deposit may;
        without authentication everybody is an operator.
        """
        return not self._is_authenticated or power_of(request) is Power.OPERATOR

    def key_hash(self, request: Request, caller: Caller) -> bytes:
        """Return the hash of the key behind a request; empty if none was asked for."""
        if not self._is_authenticated:
            return b""
        key = request.auth if isinstance(request, Rich) else None
        return caller.key_hash if key is None else hash_key(key, self._state.cluster)

    def may_read(self, account: AccountId, key_hash: bytes) -> bool:
        """Tell whether a key opens now what is private of an account."""
        return Power.READ in self._powers_of(account, key_hash)

    def check_order(self, order: CreateOrder | OrderCreate, caller: Caller) -> Refused | None:
        """Do the same as `check` for the two hot verbs."""
        is_sure = caller.version == self._state.key_changes or not caller.key_hash
        if caller.may_trade and is_sure:
            key = None if type(order) is CreateOrder else order.auth  # type: ignore[union-attr]
            if key is None or self._known.get(key) is caller:
                return None
        return self.check(order, caller)

    def _let_in(self, account: AccountId, key: str) -> Caller | Refused:
        powers = self._powers(account, key)
        if not powers:
            return BAD_KEY
        key_hash = hash_key(key, self._state.cluster)
        extra = self._state.keys.get((account, key_id_of(key_hash)))
        never_ends = extra is None or not extra.expires
        may_trade = Power.TRADE in powers and never_ends
        return Caller(account, powers, may_trade, key_hash, self._state.key_changes)

    def _still(self, caller: Caller) -> frozenset[Power]:
        """Return what a caller may now: its key may be revoked or expired since."""
        if not caller.key_hash or (caller.may_trade and caller.version == self._state.key_changes):
            return caller.powers
        return self._powers_of(caller.account, caller.key_hash)

    def _powers(self, account: AccountId | None, key: str) -> frozenset[Power]:
        """Return what a key may for an account; empty if it is neither's."""
        if len(key) > KEY_TEXT_MAX:
            return frozenset()
        return self._powers_of(account, hash_key(key, self._state.cluster))

    def _powers_of(self, account: AccountId | None, key_hash: bytes) -> frozenset[Power]:
        owner = self._state.accounts.find(account) if account is not None else None
        is_open = owner is not None and not owner.is_closed
        is_operator = _is_same(key_hash, self._operator_hash())
        is_owner = _is_same(key_hash, owner.key_hash if owner is not None and is_open else b"")
        if is_operator:
            return OPERATOR
        if is_owner:
            return OWNER
        extra = None
        if account is not None and is_open:
            extra = self._state.keys.get((account, key_id_of(key_hash)))
        if extra is None or not _is_same(key_hash, extra.key_hash):
            return frozenset()
        is_over = extra.expires and self._wall_us() >= extra.expires
        return frozenset() if is_over else SCOPES[extra.scopes]


def _is_same(key_hash: bytes, stored: bytes) -> bool:
    """Compare hashes in constant time; an empty one is that of no key."""
    return hmac.compare_digest(key_hash, stored) and bool(stored)


def _elsewhere(account: AccountId, node_id: NodeId) -> Refused:
    return Refused(
        "unknown_account",
        f"account {_name(account)} is not one of node {node_id}; the coordinator knows its node",
    )


def _forbidden(needed: Power) -> Refused:
    if needed is Power.OPERATOR:
        return Refused("forbidden", "this needs the operator key, in `auth` or in the first line")
    return Refused("forbidden", "the key does not allow this")


def _name(account: AccountId) -> str:
    return format_id(account)
