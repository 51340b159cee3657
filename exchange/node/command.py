"""`exchange-node`: the command line of a node (interfaces section 4).

A flag wins over the environment, the environment over the config file, that over the
default; `exchange-node config` prints each value and where it came from.
"""

import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from exchange.node.embedding import Gateway
from exchange.node.errors import BadSetting
from exchange.node.options import (
    ADDRESS,
    HTTPS,
    HTTPS_OPTIONS,
    Option,
    https_of,
    limit_options,
    limits_of,
    with_options,
)
from exchange.node.service import Service, serve_with_signals
from exchange.node.settings import CONFIG_NAME, LIMITS, Settings, read_config
from exchange.process import ending, logs
from exchange.process.clocks import SystemClocks
from exchange.process.errors import ProcessError
from exchange.process.logs import Log, LogSettings
from exchange.process.options import Seconds
from exchange.store.frames import FORMAT_VERSION

EPILOG = """\b
Examples:
  exchange-node --data-dir ./node-1 --no-auth
  exchange-node --data-dir ./node-2 --listen 127.0.0.1:7410 --coordinator 127.0.0.1:7401

The first is a complete exchange on this machine; the second joins another node to it.
Every option can be set as EXCHANGE_<NAME> in the environment (--config as
EXCHANGE_NODE_CONFIG), or in exchange.toml.
"""
ORIGINS = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "config file",
    ParameterSource.DEFAULT: "default",
}


def _read_config_file(
    ctx: click.Context, _param: click.Parameter, given: Path | None
) -> Path | None:
    """Make the config file the source below flags and environment."""
    data_dir: Path | None = ctx.params.get("data_dir")
    path = given if given is not None or data_dir is None else data_dir / CONFIG_NAME
    if path is None or (given is None and not path.exists()):
        return None
    values = read_config(path)
    known = {param.name for param in ctx.command.params if param.name}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadSetting(
            f"the config file {path} sets {', '.join(unknown)}",
            remedy="`exchange-node config` lists the settings there are",
        )
    ctx.default_map = {**values}
    return path


OPTIONS: list[Option] = [
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        is_eager=True,
        help="Where the node keeps its log; made at the first start.",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True,
        callback=_read_config_file,
        envvar="EXCHANGE_NODE_CONFIG",
        allow_from_autoenv=False,  # EXCHANGE_CONFIG names the file of the command `exchange`
        help="A TOML file of these options; EXCHANGE_NODE_CONFIG names one as well."
        "  [default: exchange.toml in the data directory]",
    ),
    click.option(
        "--listen",
        type=ADDRESS,
        default="127.0.0.1:7400",
        help="Where clients and other nodes connect; port 0 takes a free one.",
    ),
    click.option("--advertise", type=ADDRESS, help="What others are told.  [default: --listen]"),
    click.option(
        "--coordinator", type=ADDRESS, help="Join the cluster of this one instead of embedding one."
    ),
    click.option(
        "--coordinator-listen",
        type=ADDRESS,
        default="127.0.0.1:7401",
        help="Where the embedded coordinator listens.",
    ),
    click.option(
        "--ack",
        type=click.Choice(["visible", "durable"]),
        default="visible",
        help="Answer an order when it is in every node's book, or when it is on this disk.",
    ),
    click.option(
        "--visible-within",
        type=Seconds(min=0, max=3600),
        default=0,
        help="Seconds after which answers stop waiting for a slow node; 0 is a second, or less "
        "where it used to be quicker.",
    ),
    click.option(
        "--open-orders-max",
        type=click.IntRange(min=1),
        default=200_000,
        help="Open orders that one account may have.",
    ),
    click.option(
        "--https",
        type=HTTPS,
        default="127.0.0.1:7443",
        help="Where people and browsers connect.",
    ),
    *HTTPS_OPTIONS,
    *limit_options(LIMITS),
    click.option(
        "--idle-timeout",
        type=Seconds(min=0),
        default=LIMITS.idle_s,
        help="Seconds after which a client that says and hears nothing is closed; 0 is never.",
    ),
    click.option("--tls", is_flag=True, help="Speak TLS with clients, nodes and the coordinator."),
    click.option(
        "--join",
        metavar="TOKEN",
        default="",
        show_default=False,
        help="What `exchange-coordinator token` printed; for the first start with --tls.",
    ),
    click.option(
        "--join-secret",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The cluster.secret of the coordinator, where this node cannot find it by itself.",
    ),
    click.option("--no-auth", is_flag=True, help="Take anyone's word for who they are."),
    click.option(
        "--strict-listing",
        is_flag=True,
        help="List by `instrument create` alone, not by an operator's first deposit of a ticker.",
    ),
    logs.options,
]


@click.group(
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "EXCHANGE",
        "show_default": True,
        "max_content_width": 100,
    },
)
@with_options(OPTIONS)
@click.version_option(
    version("stock-exchange"), message=f"%(prog)s %(version)s, store format {FORMAT_VERSION}"
)
@click.pass_context
def node(ctx: click.Context, /, **values: Any) -> None:  # noqa: ANN401 - click's own types
    """Run a node: it owns accounts, and trades with all other nodes of its cluster.

    Kill it at any instant; started again, it goes on where its last answer left off.
    """
    if ctx.invoked_subcommand is None:
        https = ctx.get_parameter_source("https")
        settings = settings_of(values, is_https_default=https is ParameterSource.DEFAULT)
        sys.exit(run(settings, gateway=ctx.obj))
    ctx.obj = ctx


@node.command()
@click.pass_obj
def config(parent: click.Context) -> None:
    r"""Print each setting, and where its value comes from.

    \b
    Examples:
      exchange-node --data-dir ./node-1 config
      EXCHANGE_ACK=durable exchange-node --data-dir ./node-1 config
    """
    settings_of(parent.params)
    for param in parent.command.params:
        name = param.name
        if not isinstance(param, click.Option) or name is None or name == "version":
            continue
        source = parent.get_parameter_source(name)
        value = parent.params.get(name)
        shown = _shown(name, value)
        click.echo(
            f"{name.replace('_', '-'):<24} {shown!s:<24} {ORIGINS[source] if source else ''}"
        )


def _shown(name: str, value: object) -> object:
    """Return a value as people write it; a token is nobody's business."""
    if name == "join":
        return "***" if value else ""
    return "" if value is None else str(value).lower() if value in (True, False) else value


def settings_of(values: dict[str, Any], *, is_https_default: bool = False) -> Settings:
    """Make settings of the options."""
    return Settings(
        data_dir=values["data_dir"],
        listen=values["listen"],
        advertise=values["advertise"],
        coordinator=values["coordinator"],
        coordinator_listen=values["coordinator_listen"],
        ack=values["ack"],
        visible_within_s=values["visible_within"],
        open_orders_max=values["open_orders_max"],
        is_authenticated=not values["no_auth"],
        is_strict=values["strict_listing"],
        is_tls=values["tls"],
        join=values["join"],
        join_secret=values["join_secret"],
        limits=limits_of(values, idle_s=values["idle_timeout"]),
        https=None
        if values["https"] is None
        else https_of(values["https"], values, is_default=is_https_default),
        log=LogSettings(values["log_level"], values["log_format"]),
    )


def run(settings: Settings, *, gateway: Gateway | None = None) -> int:
    """Run a node to its end; return the exit code."""
    clocks = SystemClocks()
    log = Log(settings.log, wall_us=clocks.wall_us, mono_us=clocks.mono_us)
    return ending.run(
        partial(serve_with_signals, Service(settings, tell=log, gateway=gateway)), log
    )


def main(gateway: Gateway | None = None) -> None:
    """Run the command; every refusal is one line and an exit code.

    Without a `gateway` (`python -m exchange.node.command`) there is no HTTPS, whatever
    `--https` says: the node does not know of one by itself (C7).
    """
    try:
        node(prog_name="exchange-node", obj=gateway)
    except ProcessError as error:
        sys.exit(ending.explain(error, ending.to_stderr))


if __name__ == "__main__":
    main()
