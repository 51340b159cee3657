"""What every command has in common: its options, the cluster it talks to, how errors end it.

Trio and the client library are imported when a command runs, so that `--help` and shell
completion answer at once.
"""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exchange.client import output
from exchange.client.errors import Refused, UsageError, reason
from exchange.client.settings import Settings, known_accounts, read_settings, remember

if TYPE_CHECKING:
    from exchange.client.account import AccountClient
    from exchange.client.cluster import Cluster

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
HINTS = {
    "forbidden": (
        "the operator key lies in the server's data directory: set EXCHANGE_DATA_DIR to it, "
        "or EXCHANGE_OPERATOR_KEY"
    ),
    "unauthorized": (
        "an account's key is saved where `exchange account open` was run; elsewhere set "
        "EXCHANGE_API_KEY to it, and EXCHANGE_ACCOUNT to the account"
    ),
}
REACH_SECONDS = 3.0  # a node that was killed is back in two; people wait for the error
OPERATOR = "operator key"  # in the server's words, where that is the one that is missing or wrong


class Session:
    """The options of one command, resolved when they are needed."""

    def __init__(
        self, url: str | None, data_dir: Path | None, account: str | None, form: str
    ) -> None:
        self.form = form
        self._url = url
        self._data_dir = data_dir
        self._account = account

    @property
    def settings(self) -> Settings:
        """Return server and keys; raises UsageError."""
        return read_settings(url=self._url, data_dir=self._data_dir, environment=os.environ)

    def run(self, work: "Callable[[Cluster], Awaitable[T]]", *, reach: float = REACH_SECONDS) -> T:
        """Run some work with a connection to the cluster; `reach` as in `open_cluster`."""
        import trio

        return trio.run(partial(self._with_cluster, work, reach))

    async def account(self, cluster: "Cluster", *, by_operator: bool = False) -> "AccountClient":
        """Return a client of the account that the command is about."""
        settings = self.settings
        known = known_accounts(settings.accounts, await cluster.name())
        user_id = self._account or os.environ.get("EXCHANGE_ACCOUNT") or known.current
        if not user_id:
            raise UsageError(
                "no account is known in this cluster: run `exchange account open`, "
                "or name one with --account"
            )
        api_key = "" if by_operator else settings.api_key or known.keys.get(user_id)
        api_key = api_key or cluster.operator_key
        return cluster.account(user_id, api_key)

    async def _with_cluster(self, work: "Callable[[Cluster], Awaitable[T]]", reach: float) -> T:
        from exchange.client.cluster import open_cluster
        from exchange.client.sockets import believe

        settings = self.settings
        if settings.authority is not None:
            believe(settings.authority)
        async with open_cluster(
            settings.endpoint, operator_key=settings.operator_key, reach=reach
        ) as cluster:
            try:
                return await work(cluster)
            except Refused as refused:
                raise await _explained(cluster, refused) from refused


def with_session(*, is_account: bool = True, has_data: bool = True) -> Callable[[F], F]:
    """Give a command the common options and, first, its Session."""

    def decorate(function: F) -> F:
        def command(
            url: str | None,
            data_dir: Path | None,
            form: str = "table",
            account: str | None = None,
            **options: Any,  # noqa: ANN401 - click's own
        ) -> Any:  # noqa: ANN401 - click's own
            return function(Session(url, data_dir, account, form), **options)

        command.__doc__ = function.__doc__
        command.__name__ = function.__name__
        command.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        options = [URL, DATA_DIR, *[ACCOUNT] * is_account, *[OUTPUT] * has_data]
        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[return-value]

    return decorate


URL = click.option(
    "--url", metavar="tcp://HOST:PORT", help="Coordinator or node.  [env: EXCHANGE_URL]"
)
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="A server's data directory on this machine: its addresses and operator key.  "
    "[env: EXCHANGE_DATA_DIR]",
)
ACCOUNT = click.option(
    "--account", metavar="USER_ID", help="Another account than the last one opened."
)
OUTPUT = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(output.FORMS),
    default="table",
    show_default=True,
    help="How the data is printed.",
)


def saved(path: Path, cluster: str, user_id: str, api_key: str) -> bool:
    """Remember an account; say what to do where that is not possible."""
    try:
        remember(path, cluster, user_id, api_key)
    except OSError as error:
        output.talk(
            f"could not be saved in {path}: {reason(error)}; keep the key, and set "
            f"EXCHANGE_ACCOUNT={user_id} and EXCHANGE_API_KEY for the next commands"
        )
        return False
    return True


async def _explained(cluster: "Cluster", refused: Refused) -> Refused:
    """Add what a person can do about a refusal."""
    hint = HINTS.get(refused.code, "")
    if OPERATOR in refused.detail:
        hint = HINTS["forbidden"]
    is_guessed = refused.detail.endswith("?")  # the server has named the one that was meant
    if refused.code == "unknown_instrument" and not is_guessed:
        hint = await _similar(cluster, refused.detail)
    return Refused(refused.code, f"{refused.detail}\n{hint}") if hint else refused


async def _similar(cluster: "Cluster", detail: str) -> str:
    """Name the listed symbols most like the one that is not."""
    import difflib

    try:
        listed = [instrument.symbol for instrument in await cluster.instruments()]
    except Exception:  # a hint must not replace the error it is about
        return ""
    words = detail.split()
    near = difflib.get_close_matches(words[0] if words else "", listed, n=3, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"listed are {', '.join(sorted(listed)[:10])}" if listed else "nothing is listed yet"
