"""Reads become lines: bounded, UTF-8, nothing lost and nothing invented (E6, faults 3)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.wire.errors import FramingError
from exchange.wire.lines import REQUEST_BYTES_MAX, LineSplitter


def fed(splitter: LineSplitter, reads: list[bytes]) -> tuple[list[bytes], FramingError | None]:
    """Feed reads until one breaks the framing."""
    lines: list[bytes] = []
    for read in reads:
        try:
            lines += splitter.feed(read)
        except FramingError as error:
            return lines + error.lines, error
        splitter.check()
    return lines, None


def expected(data: bytes, limit: int) -> tuple[list[bytes], str]:
    """Say what must come out, the obvious way: the whole input at once."""
    lines: list[bytes] = []
    *whole, rest = data.split(b"\n")
    for line in whole:
        if len(line) > limit:
            return lines, "line_too_long"
        try:
            line.decode()
        except UnicodeDecodeError:
            return lines, "not_utf8"
        lines += [line] if line not in (b"", b"\r") else []
    return lines, "line_too_long" if len(rest) > limit else ""


BYTES = st.lists(st.sampled_from([b"a", b"\n", "é".encode(), b"\xff", b"\r", b"{}"])).map(b"".join)


@given(data=BYTES, cuts=st.lists(st.integers(0, 60)), limit=st.integers(1, 8))
def test_lines_do_not_depend_on_how_the_reads_fall(
    data: bytes, cuts: list[int], limit: int
) -> None:
    """E6: one read may hold many lines, one line may take many reads."""
    edges = [0, *sorted(cuts), len(data)]
    reads = [data[start:stop] for start, stop in pairwise(edges)]

    lines, error = fed(LineSplitter(limit), reads)

    wanted, code = expected(data, limit)
    if error is None:
        assert (lines, "") == (wanted, code)
    else:  # an endless line may be told before the bad one behind it
        assert lines == wanted[: len(lines)]
        assert error.code in ("not_utf8", "line_too_long")
        assert code


@given(st.lists(st.binary(max_size=100)))
def test_arbitrary_bytes_raise_nothing_but_framing_errors(reads: list[bytes]) -> None:
    """Faults 3."""
    lines, _ = fed(LineSplitter(64), reads)

    for line in lines:
        assert len(line) <= 64
        line.decode()


def test_one_read_of_many_lines_is_handed_out_at_once() -> None:
    """E6."""
    assert LineSplitter().feed(b"1\n2\r\n\n3\n4") == [b"1", b"2\r", b"3"]


def test_request_of_64_kib_passes_and_one_byte_more_does_not() -> None:
    """Interfaces section 1."""
    longest = b"x" * REQUEST_BYTES_MAX

    assert LineSplitter().feed(longest + b"\n") == [longest]
    with pytest.raises(FramingError, match="at most 65536 bytes"):
        LineSplitter().feed(longest + b"x\n")


def test_line_that_grows_too_long_over_two_reads_is_refused() -> None:
    """Faults 3: each of the reads is within the limit."""
    splitter = LineSplitter()
    splitter.feed(b"x" * 60_000)

    with pytest.raises(FramingError, match="line_too_long"):
        splitter.feed(b"x" * 60_000 + b"\n")


def test_endless_line_is_refused_before_it_ends() -> None:
    """Faults 3."""
    splitter = LineSplitter(1_000)

    for _ in range(1_000):
        splitter.feed(b"x")
        splitter.check()

    with pytest.raises(FramingError, match="line_too_long"):
        splitter.feed(b"x")


def test_one_byte_a_read_keeps_one_line_and_no_list_of_bytes() -> None:
    """Faults 3: slow is not expensive."""
    splitter = LineSplitter()
    for _ in range(10_000):
        splitter.feed(b"x")
        splitter.check()

    assert splitter.feed(b"\n") == [b"x" * 10_000]


def test_good_lines_before_a_bad_one_are_still_to_be_answered() -> None:
    with pytest.raises(FramingError, match="not UTF-8 at byte 1") as raised:
        LineSplitter().feed(b'"good"\nx\xff\n"never seen"\n')

    assert raised.value.lines == [b'"good"']


def test_letter_cut_in_two_by_a_read_is_whole_again() -> None:
    splitter = LineSplitter()
    splitter.feed(b"\xc3")

    assert splitter.feed(b"\xa9\n") == ["é".encode()]


def test_bad_byte_kept_from_an_earlier_read_is_found() -> None:
    splitter = LineSplitter()
    splitter.feed(b"\xff")

    with pytest.raises(FramingError, match="not_utf8"):
        splitter.feed(b"plain\n")


def test_widened_splitter_takes_longer_lines() -> None:
    """A connection that turns out to be a peer's sends batches."""
    splitter = LineSplitter(4)
    splitter.feed(b"1234\n")
    splitter.widen(8)

    assert splitter.feed(b"12345678\n") == [b"12345678"]
