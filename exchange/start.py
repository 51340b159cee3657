"""Where the five commands begin, so that Ctrl-C ends each quietly from its first instant.

To import a command takes up to half a second, in which nothing is there yet that could say why
it ends: Python would print a traceback of its imports.  Commands are named by text here, so
that nothing is imported before it is wanted.
"""

import importlib
import os
import signal
from functools import partial
from types import FrameType

INTERRUPTED = 130  # as `exchange.process.errors` has it, which is not imported yet


def start(module: str) -> None:
    """Import the module of a command and run its `main`."""
    signal.signal(signal.SIGINT, _end)
    main = importlib.import_module(module).main
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)  # nothing is open or written yet


node = partial(start, "exchange.gateway.node_command")
gateway = partial(start, "exchange.gateway.command")
coordinator = partial(start, "exchange.coordinator.command")
people = partial(start, "exchange.client.command")
recover = partial(start, "recovery.command")
