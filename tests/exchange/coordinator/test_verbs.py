"""Client lines are read strictly, and answered in the documented form."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.coordinator import verbs
from exchange.coordinator.core import decide_listing
from exchange.coordinator.registry import Registry
from exchange.domain.units import AccountId, make_id
from exchange.engine.effects import Refused
from exchange.wire.errors import RequestError


@pytest.mark.parametrize("line", [b'"C account"', b'"C Account"', b' "C account"\r'])
def test_both_spellings_open_an_account(line: bytes) -> None:
    """C1: the reference has both."""
    assert verbs.decode_verb(line) == verbs.OpenAccount()


def test_user_id_is_a_question_for_its_address() -> None:
    """C1."""
    assert verbs.decode_verb(b'"3-17"') == verbs.Locate(AccountId(make_id(3, 17)))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'"3-"', "unknown_account"),
        (b'"9999-1"', "unknown_account"),
        (b'"3-17\\n"', "unknown_account"),
        (b"{}", "missing_field"),
        (b'{"id":1,"type":"account.destroy"}', "unknown_verb"),
        (b'{"id":1,"type":"instrument.create"}', "missing_field"),
        (b'{"id":1,"type":"cluster.get","colour":1}', "unknown_field"),
        (b'{"id":1,"type":"cluster.get","value":{"colour":1}}', "unknown_field"),
        (b'{"id":[1],"type":"cluster.get"}', "invalid_value"),
        (b"[" * 100_000, "invalid_value"),
        (b'{"value":' * 100_000, "malformed_json"),
        (b"nonsense", "malformed_json"),
        (b'"\xff"', "malformed_json"),
    ],
)
def test_malformed_request_is_named(line: bytes, code: str) -> None:
    """C1: what is wrong, never a trace."""
    with pytest.raises(RequestError) as error:
        verbs.decode_verb(line)
    assert error.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error(line: bytes) -> None:
    """C1."""
    with contextlib.suppress(RequestError):
        verbs.decode_verb(line)


def test_id_is_echoed_byte_for_byte() -> None:
    """C1."""
    verb = verbs.decode_verb(b'{"id": 7.50 ,"type":"cluster.get"}')
    assert isinstance(verb, verbs.ClusterGet)
    line = verbs.encode_answer(bytes(verb.id), verbs.ClusterValue("c", True, False, []))

    assert line.startswith(b'{"id":7.50,"type":"cluster","value":{"cluster":"c",')
    assert line.endswith(b"\n")


def test_refused_listing_type_is_a_value() -> None:
    """M2: a refusal is a value, not an exception."""
    line = (
        b'{"id":1,"type":"instrument.create","value":{"symbol":"x","base":"x","quote":"USD",'
        b'"tick_size":"NaN","lot_size":"1","base_decimals":0,"quote_decimals":2}}'
    )
    verb = verbs.decode_verb(line)
    assert isinstance(verb, verbs.InstrumentCreate)
    outcome = decide_listing(Registry(), verb.value.instrument())
    assert isinstance(outcome, Refused)
