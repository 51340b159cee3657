"""The listed symbol that an unknown one was probably meant to be, found without a search.

A trader who mistypes a symbol must not be slow to answer, so nothing here walks what is
listed: every symbol one slip away is tried (two letters swapped, one wrong, one missing, one
too many), at most some 2,500 look-ups for the longest symbol.
"""

from collections.abc import Container, Iterator

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-_"


def similar_to(symbol: str, listed: Container[str]) -> str | None:
    """Return a listed symbol that is `symbol` but for case or one slip; None if there is none."""
    for candidate in _one_slip_away(symbol.upper()):
        if candidate in listed:
            return candidate
    return None


def _one_slip_away(symbol: str) -> Iterator[str]:
    """Yield the symbol, then all that differ from it by one slip, the commonest slips first."""
    yield symbol
    halves = [(symbol[:place], symbol[place:]) for place in range(len(symbol) + 1)]
    for head, tail in halves:
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
    for head, tail in halves:
        if tail:
            yield head + tail[1:]
    for letter in _LETTERS:
        for head, tail in halves:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]
