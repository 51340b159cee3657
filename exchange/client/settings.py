"""Where the server is and who asks: flag over environment over config file over default.

    server         --url, EXCHANGE_URL, endpoints.json in EXCHANGE_DATA_DIR, `url` of the
                   config file, tcp://127.0.0.1:7401
    account        --account, EXCHANGE_ACCOUNT, the one opened or used last in this cluster
    its key        EXCHANGE_API_KEY, what was saved when the account was opened, `api_key`
    operator key   EXCHANGE_OPERATOR_KEY, operator.key in EXCHANGE_DATA_DIR, `operator_key`

The config file is ~/.config/exchange/config.toml, or what EXCHANGE_CONFIG names.  Accounts
that were opened are remembered beside it in accounts.json (0600), per cluster, so that a new
cluster on an old address never meets the accounts of the one before.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from exchange.client.errors import UsageError, reason
from exchange.process import endpoints
from exchange.process.endpoints import Endpoints

DEFAULT_URL = "tcp://127.0.0.1:7401"  # a coordinator; `exchange-node` embeds one there
FILE_BYTES_MAX = 1 << 20


class Endpoint(msgspec.Struct, frozen=True):
    """Where to begin: the coordinator, or a node, or either.  Addresses are `host:port`."""

    coordinator: str = ""
    node: str = ""
    either: str = ""  # one of the two, to be asked which

    def __str__(self) -> str:
        return self.coordinator or self.node or self.either


class Settings(msgspec.Struct, frozen=True):
    """What a command works with."""

    endpoint: Endpoint
    api_key: str = ""
    operator_key: str = ""
    accounts: Path = Path("accounts.json")
    data_dir: Path | None = None
    authority: Path | None = None  # whom to believe over TLS; None is plain TCP


class Known(msgspec.Struct):
    """The accounts we have opened in one cluster."""

    current: str = ""
    keys: dict[str, str] = {}  # user id -> API key, empty without authentication


class _Config(msgspec.Struct, forbid_unknown_fields=True):
    url: str = ""
    api_key: str = ""
    operator_key: str = ""


def read_settings(
    *, url: str | None, data_dir: Path | None, environment: Mapping[str, str]
) -> Settings:
    """Find server and keys; raises UsageError naming the place."""
    path = _config_path(environment)
    config = _read_config(path)
    data_dir = data_dir or (Path(text) if (text := environment.get("EXCHANGE_DATA_DIR")) else None)
    endpoint = _endpoint(url or environment.get("EXCHANGE_URL"), data_dir, config.url)
    return Settings(
        endpoint=endpoint,
        authority=_authority(url or environment.get("EXCHANGE_URL"), data_dir, environment),
        api_key=environment.get("EXCHANGE_API_KEY") or config.api_key,
        operator_key=(
            environment.get("EXCHANGE_OPERATOR_KEY") or _key_in(data_dir) or config.operator_key
        ),
        accounts=path.with_name("accounts.json"),
        data_dir=data_dir,
    )


def parse_url(url: str) -> str:
    """Return the address in `tcp://host:port`; raises UsageError."""
    scheme, colon, address = url.partition("://")
    if not colon or scheme not in ("tcp", "tls") or not address:
        raise UsageError(f"{url!r} is no server; one looks like {DEFAULT_URL}")
    return address.rstrip("/")


def _authority(
    url: str | None, data_dir: Path | None, environment: Mapping[str, str]
) -> Path | None:
    """Return the authority to believe: the one that is named, or that of the data directory."""
    if url is not None:
        if not url.startswith("tls://"):
            return None
    elif data_dir is None or not _endpoints_in(data_dir).is_tls:
        return None
    if named := environment.get("EXCHANGE_TLS_CA"):
        return Path(named)
    if data_dir is None:
        raise UsageError(
            "set EXCHANGE_TLS_CA to the cluster's ca.crt, which lies beside the coordinator's data"
        )
    return data_dir / "tls" / "ca.crt"


def known_accounts(path: Path, cluster: str) -> Known:
    """Return what is remembered of a cluster."""
    return _read_accounts(path).get(cluster, Known())


def remember(path: Path, cluster: str, user_id: str, api_key: str) -> None:
    """Remember an account and make it the current one; the file is replaced whole."""
    clusters = _read_accounts(path)
    known = clusters.setdefault(cluster, Known(keys={}))
    known.current = user_id
    known.keys[user_id] = api_key
    _write_accounts(path, clusters)


def forget(path: Path, cluster: str, user_id: str) -> None:
    """Forget an account that is closed."""
    clusters = _read_accounts(path)
    known = clusters.get(cluster)
    if known is None or user_id not in known.keys:
        return
    del known.keys[user_id]
    if known.current == user_id:
        known.current = next(reversed(known.keys), "")
    _write_accounts(path, clusters)


def _write_accounts(path: Path, clusters: Mapping[str, Known]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(clusters), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def _read_accounts(path: Path) -> dict[str, Known]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Known])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"cannot read {path}: {reason(error)}; move it away to start afresh"
        ) from error


def _endpoint(url: str | None, data_dir: Path | None, configured: str) -> Endpoint:
    if url:
        return Endpoint(either=parse_url(url))
    if data_dir is not None:
        return _endpoint_in(data_dir)
    return Endpoint(either=parse_url(configured or DEFAULT_URL))


def _endpoint_in(data_dir: Path) -> Endpoint:
    found = _endpoints_in(data_dir)
    return Endpoint(coordinator=found.coordinator, node=found.tcp)


def _endpoints_in(data_dir: Path) -> Endpoints:
    path = data_dir / endpoints.NAME
    try:
        found = endpoints.read_endpoints(data_dir)
    except FileNotFoundError:
        remedy = f"start it: exchange-node --data-dir {data_dir}"
        raise UsageError(f"there is no {path}, so no server runs there; {remedy}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from error
    if not found.tcp and not found.coordinator:
        raise UsageError(f"{path} names no address")
    return found


def _key_in(data_dir: Path | None) -> str:
    if data_dir is None:
        return ""
    try:
        return (data_dir / "operator.key").read_text()[:FILE_BYTES_MAX].strip()
    except OSError:
        return ""  # another user's; commands that need it will say so


def _config_path(environment: Mapping[str, str]) -> Path:
    named = environment.get("EXCHANGE_CONFIG")
    if named:
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    try:
        return Path(base).expanduser() / "exchange" / "config.toml"
    except RuntimeError:
        raise UsageError("there is no home directory: set HOME or EXCHANGE_CONFIG") from None


def _read_config(path: Path) -> _Config:
    try:
        text = path.read_text()[:FILE_BYTES_MAX]
        return msgspec.convert(tomllib.loads(text), _Config)
    except FileNotFoundError:
        return _Config()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the config file {path}: {reason(error)}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"the config file {path}: {error}") from error
