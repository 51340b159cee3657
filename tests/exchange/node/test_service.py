"""A node from its start to its end, over real sockets and a real disk."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from exchange.domain.units import Lsn
from exchange.node import service as module
from exchange.node.service import OPERATOR_HASH, OPERATOR_KEY, Service
from exchange.node.settings import COORDINATOR, Settings
from exchange.process.addresses import parse_address
from exchange.process.endpoints import NAME as ENDPOINTS
from exchange.process.errors import ListenFailed
from exchange.store.disk import Change
from exchange.store.errors import DataDirInUse, StoreFailed
from exchange.store.lmdb_disk import LmdbDisk
from tests.exchange.node.fakes import Clocks
from tests.exchange.node.processes import Client, a_node
from tests.exchange.node.shop import order, rich
from tests.support.running import ANYWHERE, Running


def funded(client: Client) -> None:
    assert client.ask({"type": "U balance", "value": 1000}) == "ok"
    assert client.ask({"type": "C stock", "value": {"ticker": "AAPL", "quantity": 500}}) == "ok"


def test_killed_node_comes_back_with_everything_it_acknowledged(tmp_path: Path) -> None:
    """E3, W6, faults 2.4: SIGKILL, then the same answers from the same directory."""
    with a_node(tmp_path / "n") as node:
        account = node.open_account()
        with node.client(account) as client:
            funded(client)
            terms = {"symbol": "AAPL", "side": "sell", "price": "10.5", "quantity": "7"}
            placed = client.ask(rich(1, "order.create", **terms, client_order_id="mine"))
        node.kill()
        assert (tmp_path / "n" / ENDPOINTS).exists()

    with a_node(tmp_path / "n") as node:
        assert node.endpoints["epoch"] == 2
        with node.client(account) as client:
            again = client.ask(rich(1, "order.create", **terms, client_order_id="mine"))
            assert again["value"] == placed["value"], "the identical first answer"
            assert again["replayed"] is True
            assert client.ask({"type": "R balance"}) == 1000
            assert client.ask({"type": "R order"}) == {
                "AAPL": {"sell": [{"quantity": 7, "price": 10.5}], "buy": []}
            }
        assert node.stop() == 0


def test_graceful_stop_leaves_nothing_to_redo(tmp_path: Path) -> None:
    """Interfaces section 4: drain, checkpoint, exit code 0; endpoints are gone."""
    with a_node(tmp_path / "n") as node:
        account = node.open_account()
        with node.client(account) as client:
            funded(client)
        lsn = node.status()["durable_lsn"]

        assert node.stop() == 0
        assert not (tmp_path / "n" / ENDPOINTS).exists()

    with a_node(tmp_path / "n") as node:
        assert node.status()["checkpoint_lsn"] >= lsn
        node.stop()


def test_first_start_prints_addresses_and_the_next_command(tmp_path: Path) -> None:
    """Interfaces section 4."""
    with a_node(tmp_path / "n") as node:
        endpoints = node.endpoints
        node.stop()
        told = "\n".join(node.told)

    assert endpoints["tcp"] in told
    assert endpoints["coordinator"] in told
    assert "exchange account open" in told


def test_two_nodes_trade_and_one_is_killed_between_acceptance_and_reply(tmp_path: Path) -> None:
    """S4, S5: the decider's log ends the doubt; the trade is on both sides."""
    with a_node(tmp_path / "1") as first:
        coordinator = first.endpoints["coordinator"]
        flags = ("--coordinator", coordinator)
        point = "acceptance_forced_reply_unsent"
        with a_node(tmp_path / "2", *flags, crash_point=point) as second:
            accounts = sorted(first.open_account() for _ in range(2))
            with second.client(accounts[1]) as seller, first.client(accounts[0]) as buyer:
                funded(seller)
                funded(buyer)
                assert seller.ask(order("sell", 10, 5)) == "ok"
                assert buyer.ask(order("buy", 10, 5)) == "ok"
            assert second.end() == -9
            assert first.status()["offers_in_doubt"] == 1
        with (
            a_node(tmp_path / "2", *flags) as second,
            second.client(accounts[1]) as seller,
            first.client(accounts[0]) as buyer,
        ):
            _until(lambda: _is_quiet(first.status()) and _is_quiet(second.status()))

            assert buyer.ask({"type": "R stock"}) == {"AAPL": 505}
            assert buyer.ask({"type": "R balance"}) == 950
            assert seller.ask({"type": "R stock"}) == {"AAPL": 495}
            assert seller.ask({"type": "R balance"}) == 1050
            assert second.stop() == 0
        assert first.stop() == 0


def test_node_restarts_and_trades_without_its_coordinator(tmp_path: Path) -> None:
    """C1, C5: nodes find each other again by themselves."""
    with a_node(tmp_path / "1") as first:
        flags = ("--coordinator", first.endpoints["coordinator"])
        with a_node(tmp_path / "2", *flags) as second:
            account = max(first.open_account() for _ in range(2))
            with second.client(account) as client:
                funded(client)
            second.stop()
        first.kill()
    with a_node(tmp_path / "2", *flags) as second, second.client(account) as client:
        assert client.ask(order("sell", 10, 5)) == "ok"
        assert second.status()["peers"][0]["state"] == "suspected"
        assert second.stop() == 0


def test_old_copy_of_a_directory_stops(tmp_path: Path) -> None:
    """C3: its peers have seen more of its log than it has."""
    with a_node(tmp_path / "1") as first:
        flags = ("--coordinator", first.endpoints["coordinator"])
        with a_node(tmp_path / "2", *flags) as second:
            account = max(first.open_account() for _ in range(2))
            second.stop()
        shutil.copytree(tmp_path / "2", tmp_path / "copy")
        with a_node(tmp_path / "2", *flags) as second:
            with second.client(account) as client:
                funded(client)
            second.stop()
        with a_node(tmp_path / "copy", *flags) as copy:
            assert copy.end() == 4
            assert "exchange-recover recover-node" in copy.told[-1]


def _is_quiet(status: dict[str, object]) -> bool:
    peers = status["peers"]
    assert isinstance(peers, list), "a status lists its peers"
    is_level = all(peer["sent_seq"] == peer["acknowledged_seq"] for peer in peers)
    return is_level and not status["offers_in_doubt"] and not status["waiting"]


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):  # each asks real nodes; seconds in all
        if condition():
            return
    raise AssertionError("it never became quiet")


# The same in this process, where a disk can be made to fail.


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Running]:
    one = Running(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.service.run)
        await one.wait_ready()
        yield one
        one.service.stop()


async def ask(address: str, *values: bytes) -> bytes:
    """Send lines, return all that comes back until the end."""
    host, port = address.split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"\n".join(values) + b'\n"bye"\n')
        return b"".join([bytes(part) async for part in stream])


Fail = Callable[[LmdbDisk, Sequence[Change]], None]


def failing(times: int) -> Fail:
    """Return a disk write that fails so often for a node, then works again."""
    original, left = LmdbDisk.write, [times]

    def write(disk: LmdbDisk, changes: Sequence[Change]) -> None:
        if left[0] and COORDINATOR not in disk.path.parts:
            left[0] -= 1
            raise StoreFailed("the disk said no")
        original(disk, changes)

    return write


ISSUE = b'{"type":"C stock","value":{"ticker":"AAPL","quantity":5}}'


async def open_account(node: Running) -> bytes:
    """Return the line that says hello for a new account; empty if the node went away."""
    return (await ask(node.coordinator, b'"C account"')).strip()


async def test_failed_force_is_a_crash_that_the_node_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E4: reopen, redo, go on; whoever waited is cut off, never told a refusal."""
    async with running(tmp_path) as node:
        account = await open_account(node)
        monkeypatch.setattr(LmdbDisk, "write", failing(1))
        answers = await ask(node.tcp, account, ISSUE)
        await node.wait_ready(2)

        assert answers == b""
        assert any("the disk said no" in line for line in node.told)
        assert await ask(node.tcp, account, ISSUE, b'{"type":"R stock"}') == b'"ok"\n{"AAPL":5}\n'


async def test_disk_that_keeps_failing_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: a clear error, and no crash loop."""
    monkeypatch.setattr(module, "PAUSE_S", 0)
    one = Running(tmp_path)
    with pytest.RaisesGroup(StoreFailed, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.service.run)
            await one.wait_ready()
            account = await open_account(one)
            monkeypatch.setattr(LmdbDisk, "write", failing(1000))
            nursery.start_soon(ask, one.tcp, account, ISSUE)
    assert sum("Opening the log again" in line for line in one.told) == module.LIVES_MAX - 1


async def test_second_start_in_one_directory_names_the_holder(tmp_path: Path) -> None:
    """W6."""
    async with running(tmp_path):
        with pytest.raises(DataDirInUse, match=str(os.getpid())) as refused:
            await Running(tmp_path).service.run()

    assert refused.value.exit_code == 5


def test_long_redo_says_how_far_it_is(tmp_path: Path) -> None:
    """C6: every five seconds, and never where it is short."""
    told: list[str] = []
    clocks = Clocks()
    watch = Service(Settings(tmp_path), clocks=clocks, tell=told.append)._redo_watch()
    for lsn in range(1, 5):
        clocks.now_us += 3_000_000
        watch(Lsn(lsn), Lsn(9))

    assert told == ["redoing the log: LSN 2 of 9", "redoing the log: LSN 4 of 9"]


async def test_port_in_use_is_named(tmp_path: Path) -> None:
    """Interfaces section 4."""
    async with running(tmp_path / "1") as first:
        listen = parse_address(first.tcp)
        settings = Settings(tmp_path / "2", listen=listen, coordinator_listen=ANYWHERE)
        with pytest.raises(ListenFailed, match=first.tcp) as refused:
            await Service(settings, tell=first.told.append).run()
        taken = parse_address(first.coordinator)
        settings = Settings(tmp_path / "3", listen=ANYWHERE, coordinator_listen=taken)
        with pytest.RaisesGroup(ListenFailed, flatten_subgroups=True):
            await Service(settings, tell=first.told.append).run()

    assert refused.value.exit_code == 1
    assert os.listdir(tmp_path) == ["1"], "a start that failed left nothing"


async def test_operator_key_is_needed_with_authentication(tmp_path: Path) -> None:
    """Interfaces section 1: the embedded coordinator makes the key, the node accepts it."""
    one = Running(tmp_path, is_authenticated=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.service.run)
        await one.wait_ready()
        key = (tmp_path / OPERATOR_KEY).read_text().strip()
        create = {"id": 1, "type": "account.create", "auth": key, "value": {}}
        answer = msgspec.json.decode(await ask(one.coordinator, msgspec.json.encode(create)))
        hello = msgspec.json.encode(answer["value"])

        assert b"forbidden" in await ask(one.tcp, hello, ISSUE)
        operator = msgspec.json.encode({"user_id": answer["value"]["user_id"], "api_key": key})
        assert await ask(one.tcp, operator, ISSUE) == b'"ok"\n'
        one.service.stop()
    assert (tmp_path / OPERATOR_HASH).exists()


async def test_who_has_no_operator_key_is_not_told_to_open_an_account(tmp_path: Path) -> None:
    """Interfaces section 4: the next step is one that works; the key lies with the coordinator."""
    async with trio.open_nursery() as nursery:
        first = Running(tmp_path / "1", is_authenticated=True)
        nursery.start_soon(first.service.run)
        await first.wait_ready()
        coordinator = parse_address(first.coordinator)
        second = Running(tmp_path / "2", is_authenticated=True, coordinator=coordinator)
        nursery.start_soon(second.service.run)
        await second.wait_ready()
        nursery.cancel_scope.cancel()

    advised = [any("exchange account open" in line for line in one.told) for one in (first, second)]
    assert advised == [True, False]
