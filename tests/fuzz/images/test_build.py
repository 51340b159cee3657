"""What a power cut may leave: the arithmetic of it."""

import random

from fuzz.images.build import Force, Recording, Resize, Write, image_at, split


def images(recording: Recording, instant: float) -> set[bytes]:
    return {image_at(recording, instant, random.Random(seed), unit=4) for seed in range(200)}


def test_what_was_forced_is_there() -> None:
    recording = Recording(b"....", [Write(1, 2, 0, b"aaaa", False), Force(3, 4)])

    assert images(recording, 5.0) == {b"aaaa"}


def test_what_was_not_forced_may_be_there_in_any_part() -> None:
    recording = Recording(b"........", [Write(1, 2, 0, b"aaaabbbb", False)])

    assert images(recording, 5.0) == {b"........", b"aaaa....", b"....bbbb", b"aaaabbbb"}


def test_force_counts_from_its_return() -> None:
    recording = Recording(b"....", [Write(1, 2, 0, b"aaaa", False), Force(3, 4)])

    assert images(recording, 3.5) == {b"....", b"aaaa"}


def test_synchronous_write_is_durable_when_it_returns() -> None:
    recording = Recording(b"........", [Write(1, 2, 0, b"a", False), Write(3, 4, 4, b"bbbb", True)])

    assert images(recording, 5.0) == {b"....bbbb", b"a...bbbb"}
    assert b"....bbbb" in images(recording, 3.5)


def test_calls_after_the_cut_never_happened() -> None:
    recording = Recording(b"", [Resize(1, 2, 4), Write(3, 4, 0, b"aaaa", True)])

    assert images(recording, 2.5) == {b"\0\0\0\0"}


def test_units_end_at_their_boundaries() -> None:
    assert list(split(6, b"abcdef", 4)) == [(6, b"ab"), (8, b"cdef")]
