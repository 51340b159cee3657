"""A real node with its gateway, as a process, for tests that speak HTTP to it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from exchange.client.cluster_process import SERVERS, Server

SERVERS["exchange"] = "exchange.gateway.node_command"
SERVERS["gateway"] = "exchange.gateway.command"
FREE = "127.0.0.1:0"


class Person:
    """An account and its key."""

    def __init__(self, house: "House", user_id: str, key: str) -> None:
        self.house = house
        self.user_id = user_id
        self.key = key

    def call(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request as this person."""
        return self.house.call(method, path, body, key=self.key, **more)

    def order(self, side: str = "buy", **terms: object) -> httpx.Response:
        """Place an order."""
        value = {"symbol": "AAPL", "side": side, "price": "10", "quantity": "1", **terms}
        return self.call("POST", "/v1/orders", value)


class House:
    """The server, and what its operator can do."""

    def __init__(self, server: Server, certificate: Path | None) -> None:
        self.server = server
        text = msgspec.json.decode((server.directory / "endpoints.json").read_bytes())
        self.address: str = text["https"]
        self.tcp: str = text.get("tcp", "")
        self.coordinator: str = text["coordinator"]
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://{self.address}"
        self.context = None if certificate is None else trusting(certificate)
        self.client = httpx.Client(
            base_url=self.url, verify=self.context or False, timeout=20.0, trust_env=False
        )

    @cached_property
    def fuzzer(self) -> Person:
        """Return an account that tests by generated requests share."""
        self.list_symbol("AAPL")
        return self.open_account(USD="1000000", AAPL="1000")

    @property
    def operator_key(self) -> str:
        """Return the operator's key."""
        return (self.server.directory / "operator.key").read_text().strip()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str = "",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; `body` is encoded unless it is bytes."""
        sent = dict(headers or {})
        if key:
            sent["Authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return self.client.request(method, path, content=content, headers=sent)

    def open_account(self, **funds: str) -> Person:
        """Open an account with some funds."""
        opened = self.call("POST", "/v1/account", key=self.operator_key)
        assert opened.status_code == 201, opened.text
        person = Person(self, opened.json()["user_id"], opened.json()["api_key"])
        for asset, quantity in funds.items():
            self.deposit(person, asset, quantity)
        return person

    def deposit(self, person: Person, asset: str, quantity: str) -> None:
        """Give an account something."""
        value = {"user_id": person.user_id, "asset": asset, "quantity": quantity}
        done = self.call("POST", "/v1/transfers", value, key=self.operator_key)
        assert done.status_code == 201, done.text

    def list_symbol(self, symbol: str) -> None:
        """List a plain ticker."""
        value = {
            "symbol": symbol,
            "base": symbol,
            "quote": "USD",
            "tick_size": "0.01",
            "lot_size": "1",
            "base_decimals": 0,
            "quote_decimals": 2,
        }
        assert self.call("POST", "/v1/symbols", value, key=self.operator_key).status_code == 201


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts one certificate and checks names as ever."""
    return ssl.create_default_context(cafile=str(certificate))


@contextmanager
def a_house(directory: Path, *arguments: str) -> Iterator[House]:
    """Run a node with a gateway; it is killed at the end."""
    ports = ["--coordinator-listen", FREE, "--https", FREE]
    server = Server("exchange", directory, [*ports, *arguments])
    trio.run(server.start)
    is_plain = "--plain-http" in arguments
    house = House(server, None if is_plain else directory / "https.crt")
    try:
        yield house
    finally:
        house.client.close()
        server.kill()
