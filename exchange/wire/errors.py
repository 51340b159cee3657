"""What can be wrong with a line, split by what is done about it.

error               | whose fault | then
--------------------+-------------+---------------------------------------------------
RequestError        | a client's  | one error line; the connection stays open
FramingError        | a sender's  | one error line, then the connection is closed
RemoteProtocolError | a peer's    | the link is closed; an operator may want to know

A refusal by a rule of the market is none of them: it is a value (`effects.Refused`).
"""

from exchange.engine import errors

DETAIL_MAX = 300  # characters: an error must not echo a whole 64 KiB request


class WireError(Exception):
    """A line broke the rules; `code` is stable, `detail` says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail[:DETAIL_MAX]}")
        self.code = code
        self.detail = detail[:DETAIL_MAX]


class RequestError(WireError):
    """One request is wrong, the next may be right.  `request_id` is its id, as received."""

    def __init__(self, code: str, detail: str, request_id: bytes = b"") -> None:
        super().__init__(code, detail)
        self.request_id = request_id


class FramingError(WireError):
    """Where lines begin and end is lost.  `lines` came before and are still to be answered."""

    def __init__(self, code: str, detail: str, lines: list[bytes]) -> None:
        super().__init__(code, detail)
        self.lines = lines


class RemoteProtocolError(WireError, errors.RemoteProtocolError):
    """A peer or the coordinator sent what the protocol forbids: drop it, keep running."""


def title_of(code: str) -> str:
    """Return the title of an error code: `insufficient_funds` is `Insufficient funds`."""
    return code.replace("_", " ").capitalize()
