"""Headers that are lists of words are read as such."""

import pytest

from exchange.gateway.http.messages import Head


@pytest.mark.parametrize(
    ("value", "is_in"),
    [("Upgrade", True), ("keep-alive, UPGRADE", True), ("upgraded", False), ("", False)],
)
def test_word_is_found_in_a_list(value: str, is_in: bool) -> None:
    """RFC 9110 5.6.1: in any case, among others."""
    head = Head("GET", b"/", b"", {"connection": value}, "")

    assert head.has_token("connection", "upgrade") == is_in
    assert not head.has_token("upgrade", "upgrade")
