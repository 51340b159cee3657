"""Every end is one line and an exit code."""

import trio

from exchange.process.ending import explain, run
from exchange.process.errors import BadAddress, ListenFailed
from exchange.process.logs import Event


def test_an_error_of_ours_is_told_with_its_exit_code() -> None:
    told: list[str] = []

    code = explain(BadAddress("x is no address", remedy="write HOST:PORT"), told.append)

    assert code == 2
    assert told == ["error: x is no address; write HOST:PORT"]
    assert isinstance(told[0], Event)
    assert told[0].fields == {"exit_code": 2}


def test_of_several_errors_the_gravest_is_told() -> None:
    """What an operator must know first is not hidden behind its consequences."""
    told: list[str] = []
    gone = ListenFailed("a port is taken", remedy="give another")
    bad = BadAddress("x is no address", remedy="write HOST:PORT")

    code = explain(ExceptionGroup("", [gone, ExceptionGroup("", [bad])]), told.append)

    assert (code, told) == (2, ["error: x is no address; write HOST:PORT"])


def test_what_nobody_foresaw_is_called_a_bug_and_has_its_trace() -> None:
    told: list[Event] = []

    async def serve() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("surprise")

    code = run(serve, told.append)  # type: ignore[arg-type]  # it tells events

    assert code == 1
    assert told[0] == "error: a bug: ValueError('surprise')"
    assert "raise ValueError" in str(told[0].fields["traceback"])


def test_an_interruption_is_no_bug() -> None:
    told: list[str] = []

    assert explain(BaseExceptionGroup("", [KeyboardInterrupt()]), told.append) == 130
    assert not told


def test_a_server_that_ends_by_itself_ends_well() -> None:
    async def serve() -> None:
        await trio.lowlevel.checkpoint()

    assert run(serve, lambda _line: None) == 0
