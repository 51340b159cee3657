"""Nodes register, hear of each other and open accounts; the coordinator's death loses nothing."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from exchange.coordinator.core import Registration
from exchange.coordinator.errors import IdentityRefused, RegistrationRefused
from exchange.coordinator.member import Dial, Membership, register_new
from exchange.coordinator.registration import register_line
from exchange.coordinator.secret import NAME, ClusterSecret
from exchange.coordinator.server import TOLD_S_MAX
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import NodeId, make_id
from exchange.engine.effects import Refused
from exchange.store.errors import StoreFailed
from exchange.wire.coordinator_lines import EnsureInstrument, EnsureValue, encode_line
from tests.exchange.coordinator.house import (
    FRESH_CLUSTER,
    Client,
    FakeNode,
    House,
    a_house,
    join,
    pass_time,
)


async def newborn(house: House, number: int) -> FakeNode:
    """Register a new node, as it does before it makes its data directory."""
    node = FakeNode(number)
    told = await register_new("", node.nonce, node.address, dial=house.dial)
    node.node_id, node.cluster = told.node_id, told.cluster
    return node


async def a_member(house: House, number: int) -> tuple[FakeNode, Membership]:
    node = await newborn(house, number)
    return node, await join(house, node)


async def test_nodes_get_ids_and_hear_of_each_other(autojump_clock: MockClock) -> None:
    """C1, C5: those there before are told at the registration, those after it join."""
    async with a_house() as house:
        nodes = [(await a_member(house, number))[0] for number in (1, 2, 3)]

        assert [node.node_id for node in nodes] == [1, 2, 3]
        assert [sorted(node.known) for node in nodes] == [[2, 3], [1, 3], [1, 2]]
        assert nodes[0].known[NodeId(3)].address == nodes[2].address
        assert {node.cluster for node in nodes} == {FRESH_CLUSTER}


async def test_recovered_node_gets_no_id(autojump_clock: MockClock) -> None:
    """C2: `"id": null`, as in the reference."""
    async with a_house() as house:
        node = await newborn(house, 1)
        client = Client(await house.dial())
        await client.stream.send_all(register_line(node.registration()))
        told = await client.read()

        assert told["id"] is None
        assert told["others"] == []


async def test_id_that_was_only_given_out_is_nobody_to_dial(autojump_clock: MockClock) -> None:
    """C5: a node that was killed before it had stored its id never joined."""
    async with a_house() as house:
        lost = await newborn(house, 1)
        node, _ = await a_member(house, 2)

        assert (lost.node_id, node.node_id) == (1, 2)
        assert node.known == {}
        assert (await newborn(house, 1)).node_id == 1


async def test_node_that_joins_between_registration_and_ok_is_told(
    autojump_clock: MockClock,
) -> None:
    """C5: so is an instrument listed then."""
    async with a_house() as house:
        slow = await newborn(house, 1)
        client = Client(await house.dial())
        await client.stream.send_all(register_line(slow.registration()))
        told = await client.read()
        fast, membership = await a_member(house, 2)
        await membership.ensure_instrument("AAPL")
        await client.stream.send_all(b'"ok"\n')

        assert told["others"] == told["instruments"] == []
        joined, listed = await client.read(), await client.read()
        assert (joined["type"], joined["id"], joined["addr"]) == ("joined", 2, fast.address)
        assert (listed["type"], listed["value"]["symbol"]) == ("listed", "AAPL")


async def test_node_that_asks_at_once_keeps_its_link(autojump_clock: MockClock) -> None:
    """C1: an order that waits for a listing is asked for right behind the "ok", in one read."""
    async with a_house() as house:
        node = await newborn(house, 1)
        client = Client(await house.dial())
        await client.stream.send_all(register_line(node.registration()))
        await client.read()
        ensure = encode_line(EnsureInstrument(1, EnsureValue("AAPL")))
        await client.stream.send_all(b'"ok"\n' + ensure)
        listed, answer = await client.read(), await client.read()

        assert (listed["type"], answer["type"]) == ("listed", "instrument")
        assert house.coordinator.live == [1]


async def test_account_is_open_at_its_owner_before_its_id_is_answered(
    autojump_clock: MockClock,
) -> None:
    """C1."""
    async with a_house() as house:
        node, _ = await a_member(house, 1)
        node.may_answer = trio.Event()
        client = Client(await house.dial())
        await client.stream.send_all(b'"C account"\n')
        await wait_all_tasks_blocked()
        opened_early = list(node.accounts)
        node.may_answer.set()

        assert await client.read() == "1-1"
        assert (opened_early, node.accounts) == ([], [make_id(1, 1)])


async def test_account_of_a_node_that_does_not_answer_is_opened_elsewhere(
    autojump_clock: MockClock,
) -> None:
    """C1: a dead node stops nobody; its number is not given out again."""
    async with a_house() as house:
        stuck, _ = await a_member(house, 1)
        await a_member(house, 2)
        stuck.may_answer = trio.Event()
        client = Client(await house.dial())

        assert await client.ask("C account", "C account") == ["2-2", "2-1"]
        stuck.may_answer.set()
        await pass_time(30)
        assert (await client.ask("C account")) == ["1-2"]


async def test_refusal_of_the_only_node_is_the_answer(autojump_clock: MockClock) -> None:
    """C1."""
    async with a_house() as house:
        node, _ = await a_member(house, 1)
        node.refusal = Refused("storage_full", "make room")
        (answer,) = await Client(await house.dial()).ask("C account")

        assert answer["value"]["code"] == "storage_full"


async def test_paused_node_loses_its_link(autojump_clock: MockClock) -> None:
    """C1: a heartbeat without an answer; new accounts go elsewhere."""
    async with a_house() as house:
        node = await newborn(house, 1)
        client = Client(await house.dial())
        await client.stream.send_all(register_line(node.registration()) + b'"ok"\n')
        await client.read()
        await wait_all_tasks_blocked()
        live = house.coordinator.live
        await pass_time(11)

        assert live == [1]
        assert house.coordinator.live == []


async def test_listing_reaches_every_node(autojump_clock: MockClock) -> None:
    """M2: whoever asked for it."""
    async with a_house() as house:
        one, membership = await a_member(house, 1)
        two, _ = await a_member(house, 2)
        answer = await membership.ensure_instrument("AAPL")
        again = await membership.ensure_instrument("AAPL")
        await wait_all_tasks_blocked()

        assert answer == again == plain_ticker("AAPL")
        assert one.instruments == two.instruments == [plain_ticker("AAPL")]


async def test_first_order_waits_until_the_others_have_heard_of_its_symbol(
    autojump_clock: MockClock,
) -> None:
    """C1, B3: nodes take no listing from each other; and one that is silent is not waited for."""
    async with a_house() as house:
        silent = await newborn(house, 1)
        client = Client(await house.dial())
        await client.stream.send_all(register_line(silent.registration()) + b'"ok"\n')
        _, membership = await a_member(house, 2)
        began = autojump_clock.current_time()
        answer = await membership.ensure_instrument("AAPL")
        waited_s = autojump_clock.current_time() - began

        assert answer == plain_ticker("AAPL")
        assert waited_s == pytest.approx(TOLD_S_MAX, abs=0.1)


async def test_strict_listing_refuses_unknown_tickers(autojump_clock: MockClock) -> None:
    """M2."""
    async with a_house(is_strict=True) as house:
        _, membership = await a_member(house, 1)
        answer = await membership.ensure_instrument("AAPL")

        assert isinstance(answer, Refused)
        assert answer.code == "unknown_instrument"


async def test_coordinator_that_comes_back_knows_everything(autojump_clock: MockClock) -> None:
    """C2: nodes come back to it by themselves."""
    async with a_house() as house:
        node, membership = await a_member(house, 1)
        await a_member(house, 2)
        await membership.ensure_instrument("AAPL")
        await Client(await house.dial()).ask("C account", "C account")
        await house.kill()
        is_alone = not membership.is_connected
        house.start()
        await pass_time(5)

        assert is_alone
        assert membership.is_connected
        assert node.registrations == 2
        assert await Client(await house.dial()).ask("C account", "2-1") == [
            "1-2",
            "127.0.0.1:7002",
        ]


async def test_empty_coordinator_learns_its_cluster_from_its_nodes(
    autojump_clock: MockClock,
) -> None:
    """C2: ids, accounts, listings and addresses; the nodes notice nothing."""
    async with a_house() as house:
        _, membership = await a_member(house, 1)
        await a_member(house, 2)
        await membership.ensure_instrument("AAPL")
        await Client(await house.dial()).ask(*["C account"] * 4)
        await house.kill()
        house.disk.tables.clear()
        house.start()
        await pass_time(5)
        newcomer, _ = await a_member(house, 9)
        answers = await Client(await house.dial()).ask("C account", "C account", "1-2")

        assert newcomer.node_id == 3
        assert newcomer.cluster == FRESH_CLUSTER
        assert newcomer.instruments == [plain_ticker("AAPL")]
        assert answers == ["3-1", "3-2", "127.0.0.1:7001"]
        registry = house.registrar._registry
        assert [entry.account_number for entry in registry.sorted_nodes()] == [2, 2, 2]


async def test_restarted_node_is_announced_and_replaces_its_old_link(
    autojump_clock: MockClock,
) -> None:
    """C3, C5."""
    async with a_house() as house:
        old, _ = await a_member(house, 1)
        other, _ = await a_member(house, 2)
        new = old.restart()
        new.address = "127.0.0.1:9999"
        membership = await join(house, new)

        assert membership.is_connected
        assert other.known[NodeId(1)].address == "127.0.0.1:9999"
        assert house.coordinator.live == [1, 2]


async def test_old_incarnation_is_told_to_stop(autojump_clock: MockClock) -> None:
    """C3: lower epoch, or the same epoch with another boot id."""
    async with a_house() as house:
        old, _ = await a_member(house, 1)
        await join(house, old.restart())
        copy = old.restart()
        copy.boot_id = b"copy"
        for node in (FakeNode(1, node_id=1), copy):
            with pytest.raises(IdentityRefused) as refused:
                await Membership("", node, dial=house.dial).run()
            assert refused.value.exit_code == 4


async def test_failed_force_answers_nobody(autojump_clock: MockClock) -> None:
    """E4: the outcome is unknown, so the coordinator dies instead of answering."""
    with pytest.RaisesGroup(StoreFailed, flatten_subgroups=True, allow_unwrapped=True):
        async with trio.open_nursery() as nursery:
            house = House(nursery)
            client = Client(await house.dial())
            house.disk.is_failing = True
            asked = Registration(bytes(16), "127.0.0.1:7001")
            await client.stream.send_all(register_line(asked))
            assert await client.read() is None


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (b'{"addr":"127.0.0.1:1"}\n', "malformed_message"),
        (b'{"addr":5,"state":null}\n', "malformed_message"),
        (b'{"addr":"127.0.0.1:1","state":null,"nonce":"AAAA"}\n', "malformed"),
        (b'{"addr":"no address","state":null,"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}\n', "malformed"),
        (b"{\n", "malformed_json"),
        (b"\xff\n", "not_utf8"),
    ],
)
async def test_bad_first_line_is_answered_by_an_error(
    autojump_clock: MockClock, lines: bytes, code: str
) -> None:
    """C2."""
    async with a_house() as house:
        client = Client(await house.dial())
        await client.stream.send_all(lines)

        assert (await client.read())["value"]["code"] == code


async def test_node_that_breaks_the_protocol_loses_its_link(autojump_clock: MockClock) -> None:
    """C2: an answer that nothing was asked for, another answer, no protocol at all."""
    async with a_house() as house:
        node = await newborn(house, 1)
        for bad in (b'"ok"\n', b'{"type":"error","value":{}}\n', b"[]\n"):
            client = Client(await house.dial())
            await client.stream.send_all(register_line(node.registration()) + b'"ok"\n')
            await client.read()
            await client.stream.send_all(bad)

            assert await client.read() is None
            assert house.coordinator.live == []


async def test_connection_that_says_nothing_is_closed(autojump_clock: MockClock) -> None:
    """C2."""
    async with a_house() as house:
        assert await Client(await house.dial()).read() is None


def proven(house: House, secret: ClusterSecret) -> Dial:
    """Return what dials as a node without TLS does."""

    async def dial() -> trio.abc.Stream:
        stream = await house.dial()
        await secret.prove(stream, may_learn=True)
        return stream

    return dial


async def test_without_tls_a_stranger_is_no_node(autojump_clock: MockClock, tmp_path: Path) -> None:
    """C6: any process of this machine can say that it is a new node."""
    secret = ClusterSecret.made(tmp_path / NAME)
    async with a_house(is_auth=True, secret=secret) as house:
        with pytest.raises(RegistrationRefused, match="cluster's secret"):
            await newborn(house, 1)

        assert not await house.registrar.nodes()


async def test_a_node_that_knows_the_secret_joins_and_hears_the_operator_key(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    secret, own = ClusterSecret.made(tmp_path / NAME), ClusterSecret(tmp_path / "1" / NAME)
    async with a_house(is_auth=True, secret=secret) as house:
        node = FakeNode(1)
        told = await register_new("", node.nonce, node.address, dial=proven(house, own))
        node.node_id, node.cluster = told.node_id, told.cluster
        membership = Membership("", node, dial=proven(house, own))
        house.nursery.start_soon(membership.run)
        await membership.wait_tried()

        assert membership.is_connected
        assert node.operator_key_hash
        assert own.value == secret.value


async def test_who_has_taken_the_port_of_the_coordinator_names_no_operator(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """C6: a node believes an operator key only from who knows the secret of its cluster."""
    impostor = ClusterSecret.made(tmp_path / "impostor" / NAME)
    own = ClusterSecret.made(tmp_path / "node" / NAME)
    async with a_house(is_auth=True, secret=impostor) as house:
        node = FakeNode(1, node_id=1)
        membership = Membership("", node, dial=proven(house, own), say=house.said.append)
        house.nursery.start_soon(membership.run)
        await membership.wait_tried()

        assert not membership.is_connected
        assert not node.operator_key_hash
        assert any("not believed" in said for said in house.said)


async def test_a_new_node_hears_at_once_that_it_does_not_know_the_secret(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    ours, others = (ClusterSecret.made(tmp_path / name / NAME) for name in "ab")
    async with a_house(is_auth=True, secret=ours) as house:
        with pytest.raises(RegistrationRefused, match="does not know the secret"):
            await register_new("", bytes(16), "127.0.0.1:1", dial=proven(house, others))
