"""Keys open what they are for, and nothing else."""

import pytest

from exchange.coordinator.keys import hash_key
from exchange.domain.orders import Account
from exchange.domain.units import AccountId, Micros, NodeId, make_id
from exchange.engine.apply import apply
from exchange.engine.effects import Refused
from exchange.engine.key_commands import key_id_of
from exchange.engine.records import AccountClosed, KeyCreated, KeyRevoked, KeySet
from exchange.engine.state import State
from exchange.node.access import BAD_KEY, OPERATOR, OWNER, Access, Caller
from exchange.node.powers import Power
from exchange.wire.handshake import ClientHello
from exchange.wire.requests import AccountGet, KeyList, OrderCreate, Request, decode_request

ALICE, CLOSED, ELSEWHERE = (AccountId(make_id(*pair)) for pair in ((1, 1), (1, 2), (2, 1)))
KEY, OPERATOR_KEY = "alice-key", "operator-key"
OWN = Caller(ALICE, OWNER, may_trade=True, key_hash=hash_key(KEY, "test"))
GET, LIST = '{"type":"account.get"}', '{"type":"key.list"}'
NOW_US = 1_790_000_000_000_000


def an_access(*, is_authenticated: bool = True, operator_key: str = OPERATOR_KEY) -> Access:
    state = State(node_id=NodeId(1), cluster="test", nonce=b"n")
    key_hash = hash_key(KEY, "test")
    state.accounts.put(ALICE, Account(ALICE, {}, {}, key_hash))
    state.accounts.put(CLOSED, Account(CLOSED, {}, {}, key_hash, is_closed=True))
    operator_hash = hash_key(operator_key, "test") if operator_key else b""
    return Access(
        state,
        is_authenticated=is_authenticated,
        operator_hash=lambda: operator_hash,
        wall_us=lambda: NOW_US,
    )


def a_request(text: str) -> Request:
    request = decode_request(text.encode())
    assert isinstance(request, Request), "not a farewell"
    return request


@pytest.mark.parametrize(
    ("account", "key", "powers"),
    [
        (ALICE, KEY, OWNER),
        (ALICE, OPERATOR_KEY, OPERATOR),
        (ALICE, "wrong", None),
        (ALICE, "", None),
        (ALICE, None, None),
        (CLOSED, KEY, None),
        (AccountId(make_id(1, 9)), KEY, None),
        (AccountId(make_id(1, 9)), "", None),
        (ALICE, "x" * 10_000, None),
    ],
)
def test_key_decides_what_a_client_may(
    account: AccountId, key: str | None, powers: frozenset[Power] | None
) -> None:
    """Interfaces section 1; faults 3: another account's id with my key."""
    admitted = an_access().admit(ClientHello(account, key))

    assert (admitted.powers if isinstance(admitted, Caller) else None) == powers
    assert powers is not None or admitted == BAD_KEY


def test_without_an_operator_hash_nobody_is_operator() -> None:
    """Interfaces section 1: it fails closed before the coordinator has told the hash."""
    access = an_access(operator_key="")

    assert access.admit(ClientHello(ALICE, "")) == BAD_KEY
    assert access.admit(ClientHello(ALICE, KEY)) == OWN


def test_account_of_another_node_is_sent_on() -> None:
    """C1: the owner is arithmetic."""
    admitted = an_access().admit(ClientHello(ELSEWHERE, KEY))

    assert isinstance(admitted, Refused)
    assert "2-1 is not one of node 1" in admitted.detail


def test_no_auth_takes_any_open_account_at_its_word() -> None:
    """Interfaces section 1: the bare handshake."""
    access = an_access(is_authenticated=False)

    assert access.admit(ClientHello(ALICE)) == Caller(ALICE, OPERATOR, may_trade=True)
    assert isinstance(access.admit(ClientHello(CLOSED)), Refused)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"R balance"}', None),
        ('{"type":"R market"}', None),
        ('{"type":"U balance","value":1}', "forbidden"),
        ('{"type":"C stock","value":{"ticker":"AAPL","quantity":1}}', "forbidden"),
        ('{"id":1,"type":"account.get","value":{"user_id":"1-1"}}', None),
        ('{"id":1,"type":"account.get","value":{"user_id":"1-2"}}', "forbidden"),
        ('{"id":1,"type":"account.close","value":{"user_id":"1-2"}}', "forbidden"),
        ('{"id":1,"type":"orders.list","auth":"wrong"}', "unauthorized"),
        ('{"id":1,"type":"orders.list","auth":"alice-key"}', None),
        (
            '{"id":1,"type":"account.close","value":{"user_id":"1-2"},"auth":"operator-key"}',
            None,
        ),
        (
            '{"id":1,"type":"account.close","value":{"user_id":"2-1"},"auth":"operator-key"}',
            "unknown_account",
        ),
    ],
)
def test_owner_may_act_for_itself_alone(text: str, code: str | None) -> None:
    """Faults 3: another account's id with my key."""
    refused = an_access().check(a_request(text), OWN)

    assert (refused.code if refused else None) == code


def test_hot_verbs_are_checked_like_the_others() -> None:
    """Interfaces section 1."""
    access = an_access()
    plain = a_request(
        '{"type":"C order","value":{"order_type":"buy","ticker":"A","price":1,"quantity":1}}'
    )
    value = '"value":{"symbol":"A","side":"buy","price":"1","quantity":"1"}'
    bad = a_request(f'{{"type":"order.create",{value},"auth":"wrong"}}')

    assert access.check_order(plain, OWN) is None  # type: ignore[arg-type]
    assert access.check_order(bad, OWN) == BAD_KEY  # type: ignore[arg-type]
    nobody = access.check_order(plain, access.anyone)  # type: ignore[arg-type]
    assert nobody is not None
    assert nobody.code == "no_account"


@pytest.mark.parametrize(
    ("key", "owner", "code"),
    [
        (f"1-1.{KEY}", ALICE, None),
        (f"1-2.{KEY}", CLOSED, "unauthorized"),
        (f"2-1.{KEY}", ELSEWHERE, "unauthorized"),
        ("1-1.", ALICE, "unauthorized"),
        ("1-1", ALICE, "unauthorized"),
        (f"1-1.{OPERATOR_KEY}", ALICE, None),
        (KEY, None, "unauthorized"),
        (OPERATOR_KEY, None, "no_account"),
        ("", None, "unauthorized"),
    ],
)
def test_key_says_on_whose_behalf_a_gateway_asks(
    key: str, owner: AccountId | None, code: str | None
) -> None:
    """C7; faults 3: naming another account with my own secret opens nothing."""
    access = an_access()
    request = a_request('{"id":1,"type":"account.get","value":{},"auth":"KEY"}'.replace("KEY", key))
    speaker = access.speaker(request, access.anyone)
    refused = access.check(request, speaker)

    assert speaker.account == owner
    assert (refused.code if refused else None) == code


REPLICA = '{"type":"replica.list","value":{"node_id":2}KEY}'


@pytest.mark.parametrize(
    ("key", "code"),
    [("", "forbidden"), ("wrong", "unauthorized"), (KEY, "unauthorized"), (OPERATOR_KEY, None)],
)
def test_replica_is_for_operators_and_needs_no_account(key: str, code: str | None) -> None:
    """Interfaces section 5: a node may be asked that has no account."""
    access = an_access()
    request = a_request(REPLICA.replace("KEY", f',"auth":"{key}"' if key else ""))
    refused = access.check(request, access.speaker(request, access.anyone))
    open_access = an_access(is_authenticated=False)

    assert (refused.code if refused else None) == code
    assert open_access.check(request, open_access.anyone) is None


def test_key_of_another_account_does_not_change_who_a_connection_is() -> None:
    """C7; interfaces section 1: `auth` stands for more power, never for another account."""
    request = a_request('{"id":1,"type":"account.get","value":{},"auth":"2-1.whatever"}')

    assert an_access().speaker(request, OWN) is OWN


ORDER = '{"type":"order.create","value":{"symbol":"A","side":"buy","price":"1","quantity":"1"}}'


def with_key(scopes: int, *, expires: int = 0) -> tuple[Access, State]:
    access = an_access()
    state = access._state
    key_hash = hash_key("other", "test")
    created = KeyCreated(
        ALICE, key_id_of(key_hash), key_hash, scopes, Micros(expires), Micros(NOW_US)
    )
    apply(state, created)
    return access, state


def code(access: Access, caller: Caller | Refused, text: str) -> str:
    """Return what a request is refused with, empty if it is allowed."""
    assert isinstance(caller, Caller), "let in"
    request = a_request(text)
    assert isinstance(request, OrderCreate | AccountGet | KeyList), "one of these tests' own"
    if isinstance(request, OrderCreate):
        refused = access.check_order(request, caller)
    else:
        refused = access.check(request, caller)
    return refused.code if refused is not None else ""


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        (1, {ORDER: "forbidden", GET: "", LIST: "forbidden"}),
        (2, {ORDER: "", GET: "forbidden", LIST: "forbidden"}),
        (3, {ORDER: "", GET: "", LIST: "forbidden"}),
    ],
)
def test_key_opens_its_scopes_alone(scopes: int, wanted: dict[str, str]) -> None:
    """Interfaces section 3: a key that reads cannot trade, and none makes itself another."""
    access, _ = with_key(scopes)
    caller = access.admit(ClientHello(ALICE, "other"))

    assert {text: code(access, caller, text) for text in wanted} == wanted


def test_expired_key_lets_nobody_in() -> None:
    """Faults 3: expired and revoked keys fail closed."""
    access, _ = with_key(3, expires=NOW_US)

    assert access.admit(ClientHello(ALICE, "other")) == BAD_KEY


def test_key_that_expires_ends_what_it_let_in() -> None:
    """Faults 3: a connection outlives no key."""
    now = [NOW_US]
    access, _ = with_key(3, expires=NOW_US + 1)
    access._wall_us = lambda: now[0]
    caller = access.admit(ClientHello(ALICE, "other"))
    assert code(access, caller, ORDER) == ""
    now[0] += 1

    assert code(access, caller, ORDER) == code(access, caller, GET) == "unauthorized"


def test_revoked_key_ends_what_it_let_in() -> None:
    """Faults 3: expired and revoked keys fail closed, on open connections too."""
    access, state = with_key(3)
    caller = access.admit(ClientHello(ALICE, "other"))
    main = access.admit(ClientHello(ALICE, KEY))
    apply(state, KeyRevoked(ALICE, key_id_of(hash_key("other", "test")), Micros(NOW_US)))

    assert access.admit(ClientHello(ALICE, "other")) == BAD_KEY
    assert code(access, caller, ORDER) == code(access, caller, GET) == "unauthorized"
    assert code(access, main, ORDER) == code(access, main, GET) == ""


def test_rotated_main_key_ends_what_it_let_in() -> None:
    """Interfaces section 3."""
    access, state = with_key(3)
    caller = access.admit(ClientHello(ALICE, KEY))
    apply(state, KeySet(ALICE, hash_key("newer", "test"), Micros(NOW_US)))

    assert code(access, caller, ORDER) == "unauthorized"
    assert isinstance(access.admit(ClientHello(ALICE, "newer")), Caller)


def test_key_of_one_account_is_none_of_another() -> None:
    """Faults 3: other account's id with my key."""
    access, state = with_key(3)
    bob = AccountId(make_id(1, 3))
    state.accounts.put(bob, Account(bob, {}, {}, hash_key("bob", "test")))

    assert access.admit(ClientHello(bob, "other")) == BAD_KEY


def asked_with(access: Access, key: str) -> str:
    """Return what a gateway's order that brings a key is refused with, empty if it is allowed."""
    request = a_request(f'{ORDER[:-1]},"auth":"{key}"}}')
    assert isinstance(request, OrderCreate), "one of these tests' own"
    refused = access.check_order(request, access.speaker(request, access.anyone))
    return refused.code if refused is not None else ""


def test_key_that_a_gateway_brings_again_and_again_is_still_checked() -> None:
    """Faults 3: a key that is remembered is good until any key stops being good."""
    access, state = with_key(2)
    assert [asked_with(access, "1-1.other") for _ in range(2)] == ["", ""]
    apply(state, KeyRevoked(ALICE, key_id_of(hash_key("other", "test")), Micros(NOW_US)))

    assert asked_with(access, "1-1.other") == "unauthorized"
    assert [asked_with(access, f"1-1.{KEY}") for _ in range(2)] == ["", ""]
    apply(state, AccountClosed(ALICE, Micros(NOW_US)))
    assert asked_with(access, f"1-1.{KEY}") == "unauthorized"


def test_operators_key_is_not_remembered() -> None:
    """Faults 3: it may be another one tomorrow, and no record says so."""
    access = an_access()
    assert asked_with(access, f"1-1.{OPERATOR_KEY}") == ""
    access._operator_hash = lambda: hash_key("newer", "test")

    assert asked_with(access, f"1-1.{OPERATOR_KEY}") == "unauthorized"


def test_remembered_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults 3: every queue has a size."""
    monkeypatch.setattr("exchange.node.access.KNOWN_MAX", 1)
    access, _ = with_key(2)

    assert [asked_with(access, key) for key in ("1-1.other", f"1-1.{KEY}", "1-1.other")] == [""] * 3
    assert len(access._known) == 1
