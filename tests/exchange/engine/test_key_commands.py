"""Keys are durable, and die for good."""

from exchange.domain.units import AccountId
from exchange.engine import inputs
from exchange.engine.effects import AnswerBody, Done, KeyAnswer, KeysAnswer, Refused
from exchange.engine.key_commands import KEYS_MAX, MAIN, key_id_of
from exchange.engine.state import State
from tests.support.engines import Engines, redo

HOUR_S = 3600


def a_hash(number: int) -> bytes:
    return number.to_bytes(8, "big") * 4


def a_node() -> Engines:
    return Engines(1)


def told(engines: Engines, item: inputs.Input) -> AnswerBody:
    """Have node 1 handle an input; return its answer."""
    engines.step(1, item)
    return engines.answers.pop(7)


def create(engines: Engines, number: int, *, expires_in: int = 0) -> AnswerBody:
    account = engines.account(1)
    return told(engines, inputs.CreateKey(7, account, f"k{number}", a_hash(number), 1, expires_in))


def names(state: State) -> list[str]:
    return [key_id for _, key_id in state.keys]


def test_key_is_told_once_and_only_its_hash_is_kept() -> None:
    """Interfaces section 3: stored hashed."""
    engines = a_node()
    made = create(engines, 1, expires_in=HOUR_S)
    listed = engines.ask(1, inputs.KeysQuery(engines.account(1)))

    assert isinstance(made, KeyAnswer)
    assert made.api_key == "k1"
    assert made.expires
    assert isinstance(listed, KeysAnswer)
    assert [key.key_hash for key in listed.keys] == [a_hash(1)]
    assert "k1" not in repr(engines.log(1))


def test_key_survives_a_crash_and_its_revocation_too() -> None:
    """E2: what was answered is in the log."""
    engines = a_node()
    create(engines, 1)
    create(engines, 2)
    told(engines, inputs.RevokeKey(7, engines.account(1), key_id_of(a_hash(1))))
    redone = redo(engines.machines[1].node_id, engines.log(1))

    assert names(redone) == names(engines.state(1)) == [key_id_of(a_hash(2))]
    assert redone.keys_of == engines.state(1).keys_of


def test_rotation_replaces_a_key_at_one_lsn() -> None:
    """Both records are of one step, so of one frame (W2)."""
    engines = a_node()
    create(engines, 1, expires_in=HOUR_S)
    before = engines.state(1).keys[engines.account(1), key_id_of(a_hash(1))]
    rotate = inputs.RotateKey(7, engines.account(1), key_id_of(a_hash(1)), "k2", a_hash(2))
    answer = told(engines, rotate)

    assert isinstance(answer, KeyAnswer)
    assert (answer.scopes, answer.expires) == (before.scopes, before.expires)
    assert names(engines.state(1)) == [key_id_of(a_hash(2))]


def test_main_key_is_rotated_and_revoked() -> None:
    """Interfaces section 3: without its own key an account needs the operator."""
    engines = a_node()
    account = engines.account(1)
    told(engines, inputs.RotateKey(7, account, MAIN, "k2", a_hash(2)))
    assert engines.state(1).accounts[account].key_hash == a_hash(2)

    assert told(engines, inputs.RevokeKey(7, account, MAIN)) == Done()
    assert engines.state(1).accounts[account].key_hash == b""


def test_what_does_not_exist_is_refused() -> None:
    """Interfaces section 1."""
    engines = a_node()
    account = engines.account(1)
    nobody = type(account)(account + 99)
    for item, code in (
        (inputs.RevokeKey(7, account, "0" * 16), "unknown_key"),
        (inputs.RotateKey(7, account, "0" * 16, "k", a_hash(1)), "unknown_key"),
        (inputs.RevokeKey(7, nobody, MAIN), "unknown_account"),
        (inputs.RotateKey(7, nobody, MAIN, "k", a_hash(1)), "unknown_account"),
        (inputs.CreateKey(7, nobody, "k", a_hash(1), 1, 0), "unknown_account"),
    ):
        answer = told(engines, item)
        assert isinstance(answer, Refused)
        assert answer.code == code


def test_account_has_a_bounded_number_of_keys() -> None:
    """Habit 13: they are all in memory."""
    engines = a_node()
    for number in range(KEYS_MAX):
        assert isinstance(create(engines, number + 1), KeyAnswer)
    answer = create(engines, KEYS_MAX + 1)

    assert isinstance(answer, Refused)
    assert answer.code == "too_many_keys"


def test_keys_of_an_unknown_account_are_nobodys() -> None:
    """Fails closed."""
    engines = a_node()
    nobody = AccountId(engines.account(1) + 77)

    for answer in (
        told(engines, inputs.CreateKey(7, nobody, "k1", a_hash(1), 1, 0)),
        told(engines, inputs.RevokeKey(7, nobody, MAIN)),
        engines.ask(1, inputs.KeysQuery(nobody)),
    ):
        assert isinstance(answer, Refused)
        assert answer.code == "unknown_account"


def test_full_storage_makes_no_new_keys() -> None:
    """W7: new work is refused before there is no room."""
    engines = a_node()
    engines.step(1, inputs.StorageState(is_full=True))
    answer = create(engines, 1)

    assert isinstance(answer, Refused)
    assert answer.code == "storage_full"


def test_main_key_that_is_not_there_cannot_be_removed() -> None:
    """Interfaces section 3: unknown and removed look alike."""
    engines = a_node()
    told(engines, inputs.SetKey(7, engines.account(1), b""))
    answer = told(engines, inputs.RevokeKey(7, engines.account(1), MAIN))

    assert isinstance(answer, Refused)
    assert answer.code == "unknown_key"


def test_key_of_an_account_is_replaced_at_once() -> None:
    """Interfaces 3: only the hash is kept."""
    engines = a_node()
    account = engines.account(1)

    assert told(engines, inputs.SetKey(7, account, b"new")) == Done()
    assert engines.state(1).accounts[account].key_hash == b"new"
