"""Options of the command line that nodes and gateways have in common, read into values."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from exchange.node.embedding import HTTPS_LIMITS, Https
from exchange.process.addresses import Address, parse_address
from exchange.process.errors import BadAddress
from exchange.process.limits import Limits

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


class HttpsType(click.ParamType[Address | None]):
    """HOST:PORT, or off."""

    name = "HOST:PORT|off"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address | None:
        """Read an address or `off`; a usage error if it is neither."""
        return None if value == "off" else ADDRESS.convert(value, param, ctx)


class AddressType(click.ParamType[Address]):
    """HOST:PORT."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """Read an address; a usage error if it is none."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(str(value))
        except BadAddress as error:
            self.fail(str(error), param, ctx)


ADDRESS, HTTPS = AddressType(), HttpsType()
# Name, which is the field of `Limits`, what it says, and what it was called.
_LIMITS = (
    (
        "account-rate",
        "Units of work a second for one account, all its keys; 0 is any number.",
        "key-rate",
    ),
    ("address-rate", "Units of work a second for one address without a key, or with bad ones."),
    ("connections-max", "Clients at the same time; 0 is any number."),
    ("connections-per-address", "Clients at the same time of one address; 0 is any number."),
)


def limit_options(defaults: Limits, prefix: str = "") -> list[Option]:
    """Return the options of `Limits`, all but `idle_s`."""
    return [
        click.option(
            *[f"--{prefix}{each}" for each in (name, *also)],
            type=click.IntRange(min=0),
            default=getattr(defaults, name.replace("-", "_")),
            help=text,
        )
        for name, text, *also in _LIMITS
    ]


def limits_of(values: Mapping[str, Any], prefix: str = "", *, idle_s: float = 0.0) -> Limits:
    """Read the options of `limit_options`."""
    names = [name.replace("-", "_") for name, *_ in _LIMITS]
    return Limits(**{name: values[prefix + name] for name in names}, idle_s=idle_s)


# Of whatever serves HTTPS, beside where it listens.
HTTPS_OPTIONS: list[Option] = [
    click.option(
        "--tls-cert",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Certificate chain of --https, PEM.  [default: one for development is made]",
    ),
    click.option(
        "--tls-key",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Private key of --tls-cert, PEM.",
    ),
    click.option(
        "--plain-http", is_flag=True, help="Serve --https without TLS; on loopback alone."
    ),
    *limit_options(HTTPS_LIMITS, "https-"),
    click.option(
        "--https-handshake-rate",
        type=click.IntRange(min=0),
        default=HTTPS_LIMITS.handshake_rate,
        help="TLS handshakes a second of one address; 0 is any number.",
    ),
]


def https_of(listen: Address, values: Mapping[str, Any], *, is_default: bool = False) -> Https:
    """Read the options of `HTTPS_OPTIONS`."""
    return Https(
        listen=listen,
        is_default=is_default,
        certificate=values["tls_cert"],
        key=values["tls_key"],
        is_plain=values["plain_http"],
        limits=msgspec.structs.replace(
            limits_of(values, "https_"), handshake_rate=values["https_handshake_rate"]
        ),
    )


def with_options(options: list[Option]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what gives a command these options, in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
