"""`exchange-gateway`: gateways as processes of their own, in front of a cluster (C7)."""

import signal
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import click
import trio

from exchange.client.sockets import believe
from exchange.node.embedding import Embedding
from exchange.node.options import ADDRESS, HTTPS_OPTIONS, https_of, with_options
from exchange.node.settings import check_https
from exchange.process import ending, logs
from exchange.process.addresses import Address
from exchange.process.clocks import SystemClocks
from exchange.process.endpoints import NAME, Endpoints, remove_endpoints, write_endpoints
from exchange.process.errors import ProcessError
from exchange.process.logs import Event, Log, LogSettings

EXAMPLES = """\b
Examples:
  exchange-gateway --coordinator 127.0.0.1:7401 --https 127.0.0.1:7443
  exchange-gateway --coordinator ex1:7401 --tls-ca ca.crt --https 0.0.0.0:443

As many as needed: none of them keeps anything, and any of them serves any account.
"""


@click.command(
    epilog=EXAMPLES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "EXCHANGE",
        "show_default": True,
        "max_content_width": 100,
    },
)
@click.option("--coordinator", type=ADDRESS, required=True, help="Of the cluster to serve.")
@click.option("--https", type=ADDRESS, default="127.0.0.1:7443", help="Where people connect.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("gateway"),
    help="Where the development certificate and endpoints.json are put.",
)
@click.option(
    "--tls-ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, readable=True),
    help="The cluster's ca.crt: speak TLS with its nodes and coordinator, and check their names.",
)
@with_options(HTTPS_OPTIONS)
@click.option("--no-auth", is_flag=True, help="The cluster runs with --no-auth.")
@logs.options
@click.version_option(version("stock-exchange"), message="%(prog)s %(version)s")
def gateway(
    coordinator: Address,
    https: Address,
    data_dir: Path,
    tls_ca: Path | None,
    no_auth: bool,
    log_level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["auto", "json", "text"],
    **values: Any,  # noqa: ANN401 - of HTTPS_OPTIONS
) -> None:
    """Serve HTTPS and WebSocket for a cluster."""
    listen = https_of(https, values)
    check_https(listen, is_authenticated=not no_auth)
    if tls_ca is not None:
        believe(tls_ca)
    clocks = SystemClocks()
    settings = LogSettings(log_level, log_format)
    log = Log(settings, wall_us=clocks.wall_us, mono_us=clocks.mono_us)
    embedding = Embedding(
        https=listen,
        data_dir=data_dir,
        coordinator=str(coordinator),
        is_authenticated=not no_auth,
        node_id=lambda: 0,
        dial=None,
        tell=log,
    )
    sys.exit(ending.run(partial(_serve, embedding), log))


async def _serve(embedding: Embedding) -> None:
    from exchange.gateway.service import serve_embedded

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            address: str = await nursery.start(partial(serve_embedded, embedding))
            told = Endpoints(https=address, coordinator=embedding.coordinator)
            try:
                write_endpoints(embedding.data_dir, told)
            except OSError as error:  # a gateway keeps nothing, and needs no room
                text = f"cannot write {embedding.data_dir / NAME}: {error.strerror}"
                embedding.tell(Event("endpoints_unwritten", text))
            scheme = "http" if embedding.https.is_plain else "https"
            url = f"{scheme}://{address}/v1"
            embedding.tell(Event("gateway_ready", f"gateway on {url}", url=url))
            async for _ in signals:
                break
            remove_endpoints(embedding.data_dir)
            nursery.cancel_scope.cancel()


def main() -> None:
    """Run the command; every refusal is one line and an exit code."""
    try:
        gateway(prog_name="exchange-gateway")
    except ProcessError as error:
        sys.exit(ending.explain(error, ending.to_stderr))


if __name__ == "__main__":
    main()
