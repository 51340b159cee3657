"""One scenario over HTTPS, over TCP and by the command line leaves the same log (issue)."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster, open_cluster
from exchange.client.settings import Endpoint
from exchange.engine.records import Record
from exchange.store.directory import read_only
from exchange.store.frames import read_frame
from tests.exchange.gateway.house import House, Person, a_house

Terms = dict[str, str]
Tell = Callable[[House, Person, Person], None]
BY_CHANCE = {"ts", "stamp", "key_hash", "boot_id"}
STEPS: list[tuple[str, Terms]] = [
    ("sell", {"price": "20", "quantity": "5", "client_order_id": "a"}),
    ("buy", {"price": "20", "quantity": "2", "client_order_id": "b"}),
    ("buy", {"price": "19.5", "quantity": "3", "client_order_id": "c"}),
    ("cancel", {"client_order_id": "c"}),
    ("buy", {"price": "20", "quantity": "1000000", "client_order_id": "d"}),
]


def by_http(house: House, seller: Person, buyer: Person) -> None:
    for what, terms in STEPS:
        if what == "cancel":
            buyer.call("DELETE", f"/v1/orders/client/{terms['client_order_id']}")
        else:
            (seller if what == "sell" else buyer).order(what, **terms)


def by_tcp(house: House, seller: Person, buyer: Person) -> None:
    async def run() -> None:
        async with open_cluster(Endpoint(coordinator=house.coordinator)) as cluster:
            for what, terms in STEPS:
                await _step(_client(cluster, seller if what == "sell" else buyer), what, terms)

    trio.run(run)


def _client(cluster: Cluster, person: Person) -> AccountClient:
    return cluster.account(person.user_id, person.key)


async def _step(client: AccountClient, what: str, terms: Terms) -> None:
    if what == "cancel":
        await client.cancel(client_order_id=terms["client_order_id"])
    else:
        await client.place("AAPL", what, **terms)  # type: ignore[arg-type]


def by_command(house: House, seller: Person, buyer: Person) -> None:
    for what, terms in STEPS:
        person = seller if what == "sell" else buyer
        name = ["--client-order-id", terms["client_order_id"]]
        words = ["cancel", *name]
        if what != "cancel":
            words = [what, "AAPL", terms["quantity"], terms["price"], *name]
        subprocess.run(
            [str(Path(sys.executable).parent / "exchange"), "order", *words],
            env={
                **os.environ,
                "EXCHANGE_DATA_DIR": str(house.server.directory),
                "EXCHANGE_API_KEY": person.key,
                "EXCHANGE_ACCOUNT": person.user_id,
            },
            capture_output=True,
            check=False,  # the last order is rejected
        )


def story(directory: Path, tell: Tell) -> list[dict[str, Any]]:
    """Carry the scenario out, and return its log without what differs by chance."""
    with a_house(directory) as house:
        house.list_symbol("AAPL")
        seller, buyer = house.open_account(AAPL="10"), house.open_account(USD="1000")
        tell(house, seller, buyer)
    disk = read_only(directory)
    try:
        frames = [read_frame(key, value) for key, value in disk.scan("log")]
    finally:
        disk.close()
    return [plain(record) for frame in frames for record in frame.records]


def plain(record: Record) -> dict[str, Any]:
    """Return a record without times, random bytes and keys."""
    fields = msgspec.structs.asdict(record)
    kept = {name: fields[name] for name in fields if name not in BY_CHANCE}
    return {"record": type(record).__name__, **kept}


def test_every_surface_tells_the_same_story(tmp_path: Path) -> None:
    """Issue: HTTP, TCP and the CLI leave the same log; C7: the gateway adds nothing of its own."""
    surfaces = {"http": by_http, "tcp": by_tcp, "command": by_command}
    logs = {name: story(tmp_path / name, tell) for name, tell in surfaces.items()}

    names = [record["record"] for record in logs["http"]]
    assert names.count("OrderPlaced") == 3
    assert names.count("LocalTrade") == 1
    assert names.count("OrderCanceled") == 1
    assert names.count("OrderRejected") == 1
    assert logs["tcp"] == logs["http"]
    assert logs["command"] == logs["http"]
