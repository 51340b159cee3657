"""A node that cannot start says what, where and what to do; the exit code is the documented one.

In every case the data is as it was: put right what was wrong, and the node goes on (W4, W6).
"""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from exchange.client.cluster_process import Server, StartError
from tests.trading.conftest import Mount
from tests.trading.market import PATIENCE_S, Market, open_market, trade_round

FAILED, USAGE, UNREACHABLE, DAMAGED, IN_USE = 1, 2, 3, 4, 5
ALONE = 4  # accounts of a node that trades with itself
NOBODY = "127.0.0.1:9"  # the discard port: nobody listens there


async def refusal(server: Server, *arguments: str) -> tuple[int, str]:
    """Start a server that cannot start; return its exit code and what it said."""
    before = len(server.log.read_bytes()) if server.log.exists() else 0
    server.launch(arguments)
    code = await server.wait_ended(PATIENCE_S)
    said = server.log.read_bytes()[before:].decode()
    assert "Traceback" not in said
    return code, said


async def test_a_port_in_use_is_named(ram_path: Path) -> None:
    """Interfaces 4: what, where, remedy; who has the port is not disturbed."""
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        (node,), coordinator = market.local.nodes, market.local.coordinator
        assert node.endpoints is not None
        late = market.local.new_node()
        late.listen = node.endpoints.tcp
        other = Server("coordinator", ram_path / "other", ["--no-auth"], listen=coordinator.listen)

        for server in (late, other):
            code, said = await refusal(server)

            assert code == FAILED
            assert f"{server.listen} is in use by another program" in said
            assert "give another port" in said
        await trade_and_check(market)


async def test_a_new_node_needs_its_coordinator_once(ram_path: Path) -> None:
    """C1, C2: it says who it looked for; with the right address it is born after all."""
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        server = market.local.new_node()

        code, said = await refusal(server, "--coordinator", NOBODY)

        assert code == UNREACHABLE
        assert f"no coordinator answers at {NOBODY}" in said
        assert "give the right --coordinator" in said
        assert (await server.start()).node_id == 2
        await market.open_accounts(ALONE)
        await trade_and_check(market)


async def test_a_directory_in_use_names_its_holder(ram_path: Path) -> None:
    """W6: the first process is not disturbed."""
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        first = market.local.nodes[0]
        second = Server("node", first.directory, first.arguments)

        code, said = await refusal(second)

        assert code == IN_USE
        assert f"{first.directory} is in use by process {first.pid}" in said
        assert "stop that process first" in said
        await trade_and_check(market)


async def test_a_store_of_another_node_is_refused(ram_path: Path) -> None:
    """C3, W6, faults 2.4: two nodes were given each other's data."""
    async with open_market(ram_path, nodes=2) as market:
        first, second = market.local.nodes
        await stop(market)
        swap(first.directory / "store", second.directory / "store")

        for server, mine, theirs in ((first, 1, 2), (second, 2, 1)):
            code, said = await refusal(server)

            assert code == USAGE
            assert f"the data is of node {theirs}, not of node {mine}" in said
            assert "give the right --data-dir" in said
        swap(first.directory / "store", second.directory / "store")
        await start(market)
        await trade_and_check(market)


async def test_nodes_that_change_places_are_still_who_they_are(ram_path: Path) -> None:
    """C3, C5: a directory says which node it is, whatever the address it is started at."""
    async with open_market(ram_path, nodes=2) as market:
        first, second = market.local.nodes
        assert first.endpoints is not None
        assert second.endpoints is not None
        first.listen, second.listen = second.endpoints.tcp, first.endpoints.tcp
        await stop(market)

        await start(market)

        assert first.endpoints.node_id == 1
        assert second.endpoints.node_id == 2
        await trade_and_check(market)


async def test_a_newer_format_is_not_guessed_at(ram_path: Path) -> None:
    """W6."""
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        (server,) = market.local.nodes
        await stop(market)
        marker = server.directory / "identity"
        row = json.loads(marker.read_text())
        marker.write_text(json.dumps(row | {"format_version": row["format_version"] + 1}))

        code, said = await refusal(server)

        assert code == DAMAGED
        assert f"store format {row['format_version'] + 1}" in said
        assert "start it with the newer version" in said
        marker.write_text(json.dumps(row))
        await start(market)
        await trade_and_check(market)


def flip_in_the_log(directory: Path) -> str:
    """Flip a bit of an order, in pages that are not used any more too; say what must be said."""
    file = directory / "store" / "data.mdb"
    data = file.read_bytes()
    assert b"order-5" in data
    file.write_bytes(data.replace(b"order-5", b"order-4"))
    return "the log is damaged at LSN"


def cut_off(directory: Path) -> str:
    file = directory / "store" / "data.mdb"
    file.write_bytes(file.read_bytes()[: 3 * 4096])
    return "data.mdb"


def empty(directory: Path) -> str:
    (directory / "store" / "data.mdb").write_bytes(b"")
    return "data.mdb"


def lose_file(directory: Path) -> str:
    (directory / "store" / "data.mdb").unlink()
    return "store/data.mdb is missing"


def lose_store(directory: Path) -> str:
    shutil.rmtree(directory / "store")
    return "store/ of node 1 is missing"


async def test_a_node_never_starts_on_damaged_data(ram_path: Path) -> None:
    """W4, W6, faults 2.4, faults 2.5: it never skips, and is never taken for a new node."""
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        (server,) = market.local.nodes
        await trade_round(market, 1)
        server.kill()  # the log has a tail
        backup = ram_path / "backup"
        shutil.copytree(server.directory, backup)

        for damage in (flip_in_the_log, cut_off, empty, lose_file, lose_store):
            named = damage(server.directory)
            code, said = await refusal(server)

            assert code == DAMAGED
            assert named in said
            assert "do not start the node; run `exchange-recover verify`" in said
            verified, rows = exchange_recover("verify", server.directory)
            assert verified == DAMAGED, rows
            assert "-> " in rows, "no remedy"
            shutil.rmtree(server.directory)
            shutil.copytree(backup, server.directory)
        await start(market)
        assert (await market.cluster.node_ids()) == [1]
        await trade_and_check(market)


async def test_a_read_only_directory_is_named(ram_path: Path, mount: Mount) -> None:
    """W6."""
    disk = mount(ram_path / "node-1", 100)
    async with open_market(ram_path, nodes=1, accounts=ALONE) as market:
        (server,) = market.local.nodes
        await stop(market)
        disk.make_read_only()

        code, said = await refusal(server)

        assert code == FAILED
        assert f"data directory {server.directory}: Read-only file system" in said
        assert "check its permissions" in said
        assert exchange_recover("verify", server.directory)[0] == 0
        disk.make_read_only(is_read_only=False)
        await start(market)
        await trade_and_check(market)


async def test_a_restored_backup_stops_itself(ram_path: Path) -> None:
    """C3, faults 2.16: it counts its epoch up, and still its peers remember more than it does."""
    async with open_market(ram_path) as market:
        server = market.local.nodes[1]
        await server.stop()
        backup = ram_path / "backup"
        shutil.copytree(server.directory, backup)
        await server.start()
        for _ in range(3):
            await trade_round(market, 2)
        await market.quiet()
        server.kill()
        server.directory.rename(ram_path / "newest")
        shutil.copytree(backup, server.directory)

        for _ in range(2):  # with the epoch of the newest, then with one that nobody has seen
            code, said = await refusal(server)

            assert code == DAMAGED
            assert "old copy" in said or "two copies of its data directory" in said
        shutil.rmtree(server.directory)
        (ram_path / "newest").rename(server.directory)

        # The old copy has used the next epoch up; the one after that is the newest's own.
        with contextlib.suppress(StartError):
            await server.start()
        server.kill()
        await server.start()
        await trade_and_check(market)


def exchange_recover(*arguments: object) -> tuple[int, str]:
    """Run `exchange-recover`; return its exit code and what it printed."""
    command = [sys.executable, "-m", "recovery.command", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


async def stop(market: Market) -> None:
    for server in market.local.nodes:
        assert await server.stop() == 0


async def start(market: Market) -> None:
    for server in market.local.nodes:
        await server.start()


async def trade_and_check(market: Market) -> None:
    """Look whether everything is still there, and works."""
    await trade_round(market, 1)
    await market.check()


def swap(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)
