"""`exchange`: what people type (interfaces section 4).

    account    open, show, list, deposit, withdraw,      commands_account
               close
    key        create, rotate, revoke, list              commands_key
    order      buy, sell, amend, cancel, show, list;     commands_order
               fills
    market     instrument, book, trades, watch           commands_market
    cluster    status, replay, demo                      commands_cluster

Exit codes: 0 ok, 1 failed, 2 usage, 3 unreachable, 6 in doubt, 130 interrupted.
"""

import importlib
import os
import sys

import click

from exchange.client.errors import ClientError
from exchange.client.subcommands import suggest
from exchange.process.errors import INTERRUPTED, ProcessError, leaves

USAGE = 2
TRACEBACK = "EXCHANGE_TRACEBACK"
# name -> module and one line; modules are imported when they are used, to start fast.
COMMANDS = {
    "account": ("commands_account", "Open an account, look at it, fund it, close it."),
    "instrument": ("commands_market", "List what is traded, and what may be."),
    "key": ("commands_key", "Make keys for programs, replace and revoke them."),
    "order": ("commands_order", "Buy, sell, amend, cancel, show, list."),
    "fills": ("commands_order", "What the account has traded."),
    "book": ("commands_market", "Bids and asks of an instrument, best first."),
    "trades": ("commands_market", "The trade tape of an instrument."),
    "watch": ("commands_market", "Watch book and tape as they change."),
    "status": ("commands_cluster", "All nodes of the cluster, and whether they agree."),
    "replay": ("commands_cluster", "Trade order flow on a running cluster and check everything."),
    "demo": ("commands_cluster", "Three nodes, a SIGKILL, a recovery, and the proof."),
}
EPILOG = """\b
Examples:
  exchange account open
  exchange order buy AAPL 10 187.50

\b
The server is found by --url or EXCHANGE_URL (tcp://HOST:PORT), else by
endpoints.json in EXCHANGE_DATA_DIR, else at tcp://127.0.0.1:7401.

\b
Completion (bash_source, zsh_source or fish_source):
  eval "$(_EXCHANGE_COMPLETE=bash_source exchange)"
"""


class Commands(click.Group):
    """Finds commands by name and imports them when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"exchange.client.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed; name the nearest if there is none."""
        suggest(ctx, args, COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from importlib.metadata import version  # costs 20 ms; only this needs it

    from exchange.store.frames import FORMAT_VERSION

    click.echo(f"exchange {version('stock-exchange')}, store format {FORMAT_VERSION}")
    ctx.exit()


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and the store format.",
)
def exchange() -> None:
    """Trade on a distributed stock exchange, watch it, and put it to the test."""


def main() -> None:
    """Run a command; every error is one line on stderr and an exit code."""
    if sys.stdout is None:  # closed by who started us: nobody wants to read it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open until the end
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        return _fail("an argument is not text in UTF-8", USAGE)
    try:
        result = exchange.main(arguments, prog_name="exchange", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BaseExceptionGroup as group:  # of several errors at once the first is told
        errors = leaves(group)
        interrupts = [error for error in errors if isinstance(error, KeyboardInterrupt)]
        return _ended([*interrupts, *errors][0], group)
    except BaseException as error:
        return _ended(error, error)


def _ended(error: BaseException, whole: BaseException) -> int:
    """Say in one line why a command ended; return the exit code.  What is unforeseen is a bug."""
    match error:
        case BrokenPipeError():  # `exchange trades AAPL | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        case KeyboardInterrupt() | click.Abort():
            click.echo("interrupted", err=True)
            return INTERRUPTED
        case ClientError() | ProcessError():
            return _fail(str(error), error.exit_code)
        case OSError():
            _forget_output()
            return _fail(str(error), 1)
        case Exception() if not os.environ.get(TRACEBACK):
            told = f"this should not happen: {type(error).__name__}: {error}"
            return _fail(f"{told}; {TRACEBACK}=1 shows where, please report it", 1)
    raise whole


def _fail(message: str, exit_code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return exit_code


def _forget_output() -> None:
    """Throw away what cannot be written, so that Python does not try it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
