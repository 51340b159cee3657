"""The one grammar of names: symbols and assets, and the client's own order ids.

    symbol, asset     capital letters and digits, in runs joined by single / . _ -; up to 32
                      characters: AAPL, 7203, BRK.B, BTC/USD, ES_F, BTC/USD-PERP
    client order id   1 to 64 characters, none of which a terminal would obey, that break a line
                      or turn its direction; not dots alone, which are a place in every path

Every surface reads names by these patterns: the lines of clients, coordinator and peers, paths
and filters over HTTP, cursors, feeds, the command line, files that are replayed.  No word is
reserved, and a name is never a path: files are not named after symbols.

Patterns are anchored at both ends and written in what Python and RE2 have in common, without
look-around.  Only the anchors differ: `published` writes them as JSON Schema has them.
"""

import re

SYMBOL_MAX = 32  # characters: the longest contract names in use, such as an OCC option, have 21
SYMBOL = r"[A-Z0-9]+(?:[./_-][A-Z0-9]+)*"  # without anchors, to be part of a longer pattern
SYMBOL_PATTERN = rf"\A{SYMBOL}\Z"
SYMBOL_WORDS = (
    f"up to {SYMBOL_MAX} capital letters and digits, in parts joined by one of / . _ -,"
    " such as AAPL, BRK.B or BTC/USD"
)
CLIENT_ORDER_ID_MAX = 64  # characters; with the account it stays far below LMDB's 511 bytes
_BARRED = (
    r"\x00-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # direction of text; ends of line, paragraph
    "\ufeff"  # byte order mark
)
CLIENT_ORDER_ID_PATTERN = rf"\A\.*[^.{_BARRED}][^{_BARRED}]*\Z"
CLIENT_ORDER_ID_WORDS = (
    f"1 to {CLIENT_ORDER_ID_MAX} characters without control characters, not dots alone"
)

_SYMBOL = re.compile(SYMBOL_PATTERN)
_CLIENT_ORDER_ID = re.compile(CLIENT_ORDER_ID_PATTERN)


def is_symbol(text: str) -> bool:
    """Tell whether a text is a well-formed symbol or name of an asset."""
    return len(text) <= SYMBOL_MAX and _SYMBOL.match(text) is not None


def is_client_order_id(text: str) -> bool:
    """Tell whether a text may be a client order id."""
    return len(text) <= CLIENT_ORDER_ID_MAX and _CLIENT_ORDER_ID.match(text) is not None


def published(pattern: str) -> str:
    r"""Write a pattern for JSON Schema, whose dialects have `^` and `$` but not `\A` and `\Z`.

    Python must not read by it: its `$` forgives a line feed at the end.
    """
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")
