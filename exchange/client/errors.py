"""What can go wrong for a client, by what is known afterwards.

error          | what happened at the server         | exit code | then
---------------+-------------------------------------+-----------+---------------------------
UsageError     | nothing, it was never asked         | 2         | correct the command
Refused        | nothing, and it said why            | 1         | correct the request
Unreachable    | nothing, the request was never sent | 3         | start it, try again
OutcomeUnknown | perhaps all of it, perhaps nothing  | 6         | ask again, or ask about it
BadAnswer      | unknown: it does not speak as it    | 1         | report it
               | should                              |           |

A request that is safe to repeat is repeated until its deadline before any of the last three
is raised.  Unknown outcomes stay unknown: nothing here ever guesses.
"""


class ClientError(Exception):
    """A request did not bring what was asked for."""

    exit_code = 1


class UsageError(ClientError):
    """What was asked makes no sense; the message names it and the remedy."""

    exit_code = 2


class Refused(ClientError):  # noqa: N818 - named by what is known
    """The server refused: a stable code and a sentence that says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Unreachable(ClientError):  # noqa: N818 - named by what is known
    """No server answered, and the request was never sent."""

    exit_code = 3


class OutcomeUnknown(ClientError):  # noqa: N818 - named by what is known
    """The request was sent and its answer lost: it may have happened or not."""

    exit_code = 6

    def __init__(self, message: str, client_order_id: str | None = None) -> None:
        super().__init__(message)
        self.client_order_id = client_order_id  # of an order.create: ask for the order by it


class BadAnswer(ClientError):  # noqa: N818 - named by what is known
    """An answer that the protocol does not allow."""


class LinkLost(Exception):  # noqa: N818 - named by what is known
    """A connection ended; inside this package only.  `is_sent` tells what may have been read."""

    def __init__(self, reason: str, *, is_sent: bool) -> None:
        super().__init__(reason)
        self.is_sent = is_sent


def reason(error: BaseException) -> str:
    """Return why something failed, without numbers and paths that are told anyway."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
