"""`exchange-coordinator`: a coordinator as a process of its own (interfaces section 4)."""

import signal
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click
import trio

from exchange.coordinator.authority import new_token
from exchange.coordinator.errors import CoordinatorError
from exchange.coordinator.registry_store import FORMAT_VERSION
from exchange.coordinator.service import Serving, serve_coordinator
from exchange.process import ending, logs
from exchange.process.addresses import parse_address
from exchange.process.clocks import SystemClocks, now
from exchange.process.endpoints import Endpoints, remove_endpoints, write_endpoints
from exchange.process.errors import BadAddress
from exchange.process.logs import Event, Log, LogSettings

DEFAULT_LISTEN = "127.0.0.1:7401"
EXAMPLES = """\b
Examples:
  exchange-coordinator --data-dir ./coordinator
  exchange-coordinator --data-dir ./coordinator --listen 127.0.0.1:0 --no-auth
"""


@click.group(
    invoke_without_command=True,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="EXCHANGE_DATA_DIR",
    show_envvar=True,
    help="Where the registry is kept; made at the first start.",
)
@click.option(
    "--listen",
    default=DEFAULT_LISTEN,
    metavar="HOST:PORT",
    envvar=["EXCHANGE_COORDINATOR_LISTEN", "EXCHANGE_LISTEN"],
    show_default=True,
    show_envvar=True,
    help="Where nodes and clients connect; port 0 takes a free one.",
)
@click.option(
    "--no-auth",
    is_flag=True,
    envvar="EXCHANGE_NO_AUTH",
    show_envvar=True,
    help="Let anyone on this machine open accounts and list instruments.",
)
@click.option(
    "--strict-listing",
    is_flag=True,
    envvar="EXCHANGE_STRICT_LISTING",
    show_envvar=True,
    help="Trade only what an operator has listed.",
)
@click.option(
    "--tls",
    "is_tls",
    is_flag=True,
    envvar="EXCHANGE_TLS",
    show_envvar=True,
    help="Speak TLS, and certify the nodes that come with a join token.",
)
@logs.options
@click.version_option(
    version("stock-exchange"), message=f"%(prog)s %(version)s, store format {FORMAT_VERSION}"
)
@click.pass_context
def main(
    ctx: click.Context,
    /,
    data_dir: Path,
    listen: str,
    no_auth: bool,
    strict_listing: bool,
    is_tls: bool,
    log_level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["auto", "json", "text"],
) -> None:
    """Run the coordinator of a cluster: it hands out ids and accounts, and lists instruments.

    Nodes trade, restart and settle without it; only new nodes, accounts and listings wait.
    """
    ctx.obj = data_dir
    if ctx.invoked_subcommand is not None:
        return
    clocks = SystemClocks()
    log = Log(
        LogSettings(log_level, log_format),
        wall_us=clocks.wall_us,
        mono_us=clocks.mono_us,
    )
    serve = partial(
        _serve,
        data_dir,
        listen,
        log,
        is_auth=not no_auth,
        strict_listing=strict_listing,
        is_tls=is_tls,
    )
    sys.exit(ending.run(serve, log))


@main.command(
    epilog="""\b
Examples:
  exchange-coordinator --data-dir ./coordinator token
  exchange-coordinator --data-dir ./node-1/coordinator token --node 3
"""
)
@click.option(
    "--node",
    type=click.IntRange(min=0),
    default=0,
    show_default=False,
    help="For this node, which has lost its certificate, instead of a new one.",
)
@click.pass_obj
def token(data_dir: Path, node: int) -> None:
    """Print a token with which one node can join, once, within the hour."""
    try:
        click.echo(new_token(data_dir, now=now(), node_id=node))
    except CoordinatorError as error:
        _fail(str(error), error.exit_code)


async def _serve(
    data_dir: Path, listen: str, log: Log, *, is_auth: bool, strict_listing: bool, is_tls: bool
) -> None:
    """Serve until a signal asks to stop."""
    if not is_auth and not parse_address(listen).is_loopback:
        raise BadAddress(
            f"--no-auth would let anyone who reaches {listen} open accounts",
            remedy="listen on 127.0.0.1, or leave --no-auth out",
        )
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            serving = await nursery.start(
                partial(
                    serve_coordinator,
                    data_dir,
                    listen,
                    is_auth=is_auth,
                    strict_listing=strict_listing,
                    say=log,
                    is_tls=is_tls,
                )
            )
            write_endpoints(data_dir, Endpoints(coordinator=serving.address))
            _greet(serving, data_dir, log, is_auth=is_auth, is_tls=is_tls)
            try:
                async for number in signals:
                    log(Event("node_stopping", f"stopping: {signal.Signals(number).name}"))
                    break
            finally:
                remove_endpoints(data_dir)
            nursery.cancel_scope.cancel()


def _greet(serving: Serving, data_dir: Path, log: Log, *, is_auth: bool, is_tls: bool) -> None:
    cluster = f"cluster {serving.cluster}" if serving.cluster else "a new cluster"
    text = f"coordinator of {cluster} on {serving.address}, data in {data_dir}"
    log(Event("coordinator_ready", text, address=serving.address))
    if serving.is_key_new:
        log(Event("operator_key_made", f"operator key written to {serving.operator_key}"))
    flags = f"--coordinator {serving.address}" + ("" if is_auth else " --no-auth")
    if is_tls:
        flags += f" --tls --join $(exchange-coordinator --data-dir {data_dir} token)"
    text = f"next: exchange-node --data-dir ./node-1 --listen 127.0.0.1:0 {flags}"
    log(Event("next_step", text))


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
