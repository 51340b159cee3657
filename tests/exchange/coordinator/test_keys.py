"""Keys are random, kept as a keyed hash, and the operator's is made once."""

from pathlib import Path

import pytest

from exchange.coordinator.errors import CoordinatorError
from exchange.coordinator.keys import (
    account_key,
    hash_key,
    is_key,
    new_key,
    operator_key,
    owner_of,
)
from exchange.domain.units import AccountId, make_id


def test_key_opens_what_its_hash_guards_and_nothing_else() -> None:
    """C1: the node stores the hash alone."""
    key = new_key()
    key_hash = hash_key(key, "cluster")

    assert is_key(key, key_hash, "cluster")
    assert not is_key(key + "x", key_hash, "cluster")
    assert not is_key(key, key_hash, "another cluster")
    assert not is_key("", b"", "cluster")
    assert not is_key("x" * 10_000, hash_key("x" * 10_000, "cluster"), "cluster")


def test_keys_differ() -> None:
    """C1: 32 random bytes."""
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert {len(key) for key in keys} == {43}


def test_operator_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    """C4."""
    path = tmp_path / "operator.key"
    key, is_new = operator_key(path)

    assert is_new
    assert operator_key(path) == (key, False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["operator.key"]


def test_half_made_operator_key_is_made_again(tmp_path: Path) -> None:
    """C4: killed while it was written."""
    (tmp_path / "operator.key.new").write_text("hal")

    assert operator_key(tmp_path / "operator.key")[1]


@pytest.mark.parametrize("content", [b"", b"short\n", b"x" * 1000, b"\xff" * 500])
def test_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """C4: an empty key must not open everything."""
    path = tmp_path / "operator.key"
    path.write_bytes(content)

    with pytest.raises(CoordinatorError, match="holds no operator key"):
        operator_key(path)


def test_key_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """C4."""
    (tmp_path / "file").touch()

    with pytest.raises(CoordinatorError, match=r"file.operator\.key: "):
        operator_key(tmp_path / "file" / "operator.key")


def test_key_of_an_account_names_it_and_is_as_good_as_its_secret() -> None:
    """C7."""
    account = AccountId(make_id(3, 17))
    key = account_key(account, "secret")

    assert key == "3-17.secret"
    assert owner_of(key) == account
    assert hash_key(key, "cluster") == hash_key("secret", "cluster")


@pytest.mark.parametrize("key", ["", "secret", ".secret", "0-1.x", "3-17x.secret", "3.17"])
def test_key_that_names_no_account_has_no_owner(key: str) -> None:
    """C7."""
    assert owner_of(key) is None
