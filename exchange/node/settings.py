"""What a node runs with, and what of it is refused before anything is touched (exit code 2)."""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from exchange.node.embedding import Https
from exchange.node.errors import BadSetting
from exchange.process.addresses import Address, check_listener
from exchange.process.errors import BadAddress
from exchange.process.limits import Limits
from exchange.process.logs import LogSettings

CONFIG_NAME = "exchange.toml"  # in the data directory
COORDINATOR = "coordinator"  # the directory of the embedded one, in the data directory
CONFIG_SIZE_MAX = 1 << 20  # bytes
# A unit is about the work of one order, and a core does some 15,000 of them a second: one account
# may use a third of it, one address without a key an eighth.
LIMITS = Limits(account_rate=5_000, address_rate=2_000, connections_max=16_384, idle_s=900.0)


class Settings(msgspec.Struct, frozen=True):
    """What `exchange-node` runs with."""

    data_dir: Path
    listen: Address = Address("127.0.0.1", 7400)
    advertise: Address | None = None  # what others are told; `listen` if it is not given
    coordinator: Address | None = None  # None embeds one
    coordinator_listen: Address = Address("127.0.0.1", 7401)
    ack: Literal["visible", "durable"] = "visible"
    open_orders_max: int = 200_000  # of one account
    visible_within_s: float = 0  # a slower peer is set aside (B5); 0 adapts to its usual pace
    is_authenticated: bool = True
    is_strict: bool = False  # an unknown symbol is refused, never listed by an order
    limits: Limits = LIMITS
    is_tls: bool = False  # for clients, nodes and the coordinator
    join: str = ""  # the token of a first start
    join_secret: Path | None = None  # where the cluster's secret lies, without TLS
    https: Https | None = None  # None: no gateway in this process
    log: LogSettings = LogSettings()

    def check(self) -> None:
        """Refuse what must not run: BadAddress."""
        if self.join_secret is not None and (self.is_tls or not self.is_authenticated):
            raise BadSetting(
                "--join-secret is for nodes without --tls and without --no-auth",
                remedy="leave it out",
            )
        if self.join_secret is not None and self.coordinator is None:
            raise BadSetting(
                "--join-secret without --coordinator: this node makes a cluster of its own",
                remedy="add --coordinator, or leave it out",
            )
        listeners = {"--listen": self.listen}
        if self.coordinator is None:
            listeners["--coordinator-listen"] = self.coordinator_listen
        for flag, address in listeners.items():
            check_listener(flag, address, is_tls=self.is_tls and self.is_authenticated)
        if self.https is not None:
            check_https(self.https, is_authenticated=self.is_authenticated)


def check_https(https: Https, *, is_authenticated: bool) -> None:
    """Refuse to let others in without TLS, or without keys: BadAddress, BadSetting."""
    if not https.listen.is_loopback and (https.is_plain or not is_authenticated):
        what = "plain HTTP" if https.is_plain else "--no-auth"
        raise BadAddress(
            f"--https {https.listen} can be reached from other machines, with {what}",
            remedy=f"listen on 127.0.0.1:{https.listen.port}, or leave that out",
        )
    if (https.certificate is None) != (https.key is None):
        raise BadSetting("--tls-cert and --tls-key go together", remedy="give both or neither")


def read_config(path: Path) -> dict[str, object]:
    """Read a config file: the table `[node]`, or the top level.  Raises BadSetting.

    Names are those of the flags; `-` and `_` are the same in them.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.loads(file.read(CONFIG_SIZE_MAX).decode())
    except OSError as error:
        raise BadSetting(
            f"cannot read the config file {path}: {error.strerror}", remedy="give the right path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"the config file {path} is not TOML: {error}",
            remedy='write lines like ack = "durable"',
        ) from error
    node = values.get("node", values)
    if not isinstance(node, dict):
        raise BadSetting(f"the config file {path}: `node` is no table", remedy="write [node]")
    return {name.replace("-", "_"): value for name, value in node.items()}
