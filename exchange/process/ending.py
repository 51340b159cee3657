"""How a server ends: with one line that says why, and an exit code (interfaces section 4)."""

import sys
import traceback
from collections.abc import Awaitable, Callable

import trio

from exchange.process.errors import INTERRUPTED, leaves
from exchange.process.logs import Event


def run(serve: Callable[[], Awaitable[None]], tell: Callable[[str], None]) -> int:
    """Run a server to its end; return the exit code."""
    try:
        trio.run(serve)
    except BaseException as error:
        return explain(error, tell)
    return 0


def explain(error: BaseException, tell: Callable[[str], None]) -> int:
    """Say why a process ends; return the exit code.  Of several errors the gravest is told."""
    errors = leaves(error)
    known = [each for each in errors if isinstance(getattr(each, "exit_code", None), int)]
    if known:
        gravest = max(known, key=exit_code_of)
        tell(Event("failed", f"error: {gravest}", exit_code=exit_code_of(gravest)))
        return exit_code_of(gravest)
    if any(isinstance(each, KeyboardInterrupt) for each in errors):
        return INTERRUPTED
    text = "".join(traceback.format_exception(error))
    tell(Event("failed", f"error: a bug: {error!r}", exit_code=1, traceback=text))
    return 1


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that an error of ours knows."""
    return int(error.exit_code)  # type: ignore[attr-defined]  # each of ours has one


def to_stderr(line: str) -> None:
    """Say something where there is no log yet."""
    print(line, file=sys.stderr, flush=True)
