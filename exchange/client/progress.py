"""A progress bar on stderr, if somebody watches; nothing at all otherwise."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from exchange.client.traders import Progress


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """Show what is being done, how far it is and how long it will take."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield progress
