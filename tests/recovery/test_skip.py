"""The end of a MessagePack value is found in bytes that may be anything."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.skip import length_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.integers(), inner, max_size=20),
    max_leaves=30,
)


@given(VALUES, st.binary(max_size=40))
def test_the_end_is_where_the_encoder_stopped(value: object, rest: bytes) -> None:
    """W2: a frame is one value."""
    try:
        encoded = msgspec.msgpack.encode(value)
    except OverflowError:
        return

    assert length_of(encoded + rest) == len(encoded)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Faults 3."""
    length = length_of(data)

    assert length is None or length > 0


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x97\x01", b"\xdd\xff\xff\xff\xff" + b"\x00" * 9])
def test_what_is_cut_off_has_no_end(data: bytes) -> None:
    """Faults 3: a huge count does not cost memory or time."""
    assert length_of(data) is None
