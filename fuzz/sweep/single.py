"""One real node whose k-th write or force is where it dies, or where it fails.

strace stands between the node and the kernel: it kills at a call, or lets the call fail, be
cut short, or lie.  A scripted scenario runs against the node; whatever it acknowledged must
be there when the node is started again without the tracer, and the log must verify.
"""

import shutil
from pathlib import Path

import msgspec
import trio

from exchange.client.cluster_process import Server, StartError
from fuzz.chaos.verdict import verify
from fuzz.images.record import Client
from fuzz.sweep.points import Calls, Point, calls_in, counted, traced

ORDERS = 8
CLEAN_EXITS = {0, 1, 4, -9}  # ended by the tracer, or with a clear error


class Outcome(msgspec.Struct):
    """How a point ended."""

    point: Point
    exit_code: int | None  # of the node under the tracer; None = it lived on
    wrong: list[str]


async def run_point(base: Path, work: Path, point: Point) -> Outcome:
    """Run the scenario into one fault, start the node again, and look."""
    directory = work / "node"
    if directory.exists():
        shutil.rmtree(directory)
    shutil.copytree(base, directory)
    arguments = ["--no-auth", "--coordinator-listen", "127.0.0.1:0"]
    server = Server("node", directory, arguments)
    user = (base.parent / "user").read_text()
    server.prefix = traced(point.inject)
    told: dict[str, str] = {}
    try:
        endpoints = await server.start()
        told = await trio.to_thread.run_sync(_scenario, endpoints.tcp, user)
    except StartError:
        pass  # it failed while it was starting: nothing was told
    exit_code = server.return_code
    server.kill()
    outcome = Outcome(point, exit_code, [])
    if exit_code is not None and exit_code not in CLEAN_EXITS:
        outcome.wrong.append(f"it ended with {exit_code}: {server.last_words()}")
    server.prefix = []
    try:
        endpoints = await server.start()
        outcome.wrong += await trio.to_thread.run_sync(_missing, endpoints.tcp, user, told)
    except StartError as error:
        outcome.wrong.append(f"it does not start again: {error}")
    finally:
        server.kill()
    outcome.wrong += await verify([directory])
    return outcome


async def prepare(directory: Path) -> Path:
    """Make a node with a funded account, stopped gracefully; return its data directory."""
    arguments = ["--no-auth", "--coordinator-listen", "127.0.0.1:0"]
    server = Server("node", directory / "base", arguments)
    endpoints = await server.start()
    try:
        user = await trio.to_thread.run_sync(_account, endpoints.coordinator, endpoints.tcp)
        (directory / "user").write_text(user)
        await server.stop()
    finally:
        server.kill()
    return directory / "base"


def _account(coordinator: str, tcp: str) -> str:
    with Client(coordinator) as client:
        user = client.ask("C account")
    assert isinstance(user, str), user
    with Client(tcp, user) as client:
        client.ask({"type": "U balance", "value": 1_000_000})
        client.ask({"type": "C stock", "value": {"ticker_id": "AAPL", "quantity": 1_000}})
    return user


def _scenario(tcp: str, user: str) -> dict[str, str]:
    """Place orders, some of which are canceled, until the node dies; return what was told."""
    told: dict[str, str] = {}
    try:
        with Client(tcp, user) as client:
            for number in range(ORDERS):
                answer = client.ask(_order(number))
                if not isinstance(answer, dict) or answer.get("type") != "order":
                    continue  # a refusal: nothing was done
                told[f"o{number}"] = answer["value"]["status"]
                if number % 3 == 2:
                    cancel = {"client_order_id": f"o{number}"}
                    answer = client.ask({"id": 1, "type": "order.cancel", "value": cancel})
                    if isinstance(answer, dict) and answer.get("type") == "order":
                        told[f"o{number}"] = "canceled"
    except (OSError, ValueError):
        pass  # the node is gone: what was not told is unknown
    return told


def _order(number: int) -> dict[str, object]:
    value = {
        "symbol": "AAPL",
        "side": "buy",
        "price": f"{10 + number}.00",
        "quantity": 1 + number,
        "client_order_id": f"o{number}",
    }
    return {"id": 1, "type": "order.create", "value": value}


def _missing(tcp: str, user: str, told: dict[str, str]) -> list[str]:
    """Return what was told and is not so any more."""
    wrong = []
    with Client(tcp, user) as client:
        for name, status in told.items():
            ask = {"id": 1, "type": "order.get", "value": {"client_order_id": name}}
            answer = client.ask(ask)
            if not isinstance(answer, dict) or answer.get("type") != "order":
                wrong.append(f"order {name} was acknowledged and is gone: {answer}")
            elif status == "canceled" and answer["value"]["status"] != "canceled":
                wrong.append(f"order {name} was canceled and is {answer['value']['status']}")
    return wrong


def calls_of_scenario(base: Path, work: Path) -> Calls:
    """Count the write calls of one undisturbed run of the scenario, its start included."""
    log = work / "count"
    server = Server("node", work / "counted", ["--no-auth", "--coordinator-listen", "127.0.0.1:0"])
    shutil.copytree(base, server.directory)
    server.prefix = counted(log)

    async def run() -> None:
        try:
            endpoints = await server.start()
            user = (base.parent / "user").read_text()
            await trio.to_thread.run_sync(_scenario, endpoints.tcp, user)
        finally:
            server.kill()

    trio.run(run)
    return calls_in(log)
