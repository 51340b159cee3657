"""A node gets the certificate of its own id and of no other."""

import datetime
from pathlib import Path

import msgspec
import pytest
import trio
from cryptography import x509

from exchange.coordinator.authority import Authority, new_request, new_token
from exchange.coordinator.core import Registration
from exchange.coordinator.joining import Join, answer_joining, is_joining
from exchange.coordinator.registrar import LocalRegistrar
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.units import Epoch, NodeId
from tests.exchange.coordinator.house import House, MemoryDisk, inline

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
ADDRESS = "127.0.0.1:7400"


class Office:
    """A coordinator's authority and registrar."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority = Authority(path, now=NOW)
        self.registrar = LocalRegistrar(
            RegistryStore(MemoryDisk()), fresh_cluster="c", on_thread=inline
        )

    def token(self, node_id: int = 0) -> str:
        return new_token(self.path, now=NOW, node_id=node_id)

    async def ask(self, line: bytes, caller: str = "") -> str:
        """Return the name that was certified, or the code of the refusal."""
        assert is_joining(line)
        answer = await answer_joining(
            line, self.authority, self.registrar, caller=caller, now=lambda: NOW
        )
        assert answer is not None, "it is for this module"
        told = msgspec.json.decode(answer)
        if told["type"] == "error":
            return str(told["value"]["code"])
        certificate = x509.load_pem_x509_certificate(told["value"].encode())
        return certificate.subject.rfc4514_string()

    async def join(self, token: str, nonce: bytes = bytes(16), caller: str = "") -> str:
        _, request = new_request()
        line = msgspec.json.encode(Join(nonce, ADDRESS, request.decode(), token))
        return await self.ask(line, caller)


async def test_node_is_certified_for_the_id_of_its_nonce(tmp_path: Path) -> None:
    """Issue 5: a node's name is bound to its id; asked again it is the same."""
    office = Office(tmp_path)

    assert await office.join(office.token()) == "CN=node-1"
    assert await office.join(office.token()) == "CN=node-1"
    assert await office.join(office.token(), bytes([1]) * 16) == "CN=node-2"


async def test_replayed_join_token_is_refused(tmp_path: Path) -> None:
    """Issue 5."""
    office = Office(tmp_path)
    token = office.token()
    await office.join(token)

    assert await office.join(token, bytes([1]) * 16) == "join_refused"


async def test_token_gives_nobody_the_name_of_a_living_node(tmp_path: Path) -> None:
    """Faults 3: nonces are known to every node, so they prove nothing."""
    office = Office(tmp_path)
    await office.join(office.token())
    alive = Registration(bytes(16), ADDRESS, NodeId(1), epoch=Epoch(1), boot_id=b"b", cluster="c")
    await office.registrar.register(alive)

    assert await office.join(office.token()) == "join_refused"
    assert await office.join(office.token(1)) == "CN=node-1"


async def test_renewal_keeps_the_name_that_was_shown(tmp_path: Path) -> None:
    """Issue 5: expiry and renewal."""
    office = Office(tmp_path)

    assert await office.join("", caller="node-7") == "CN=node-7"
    assert await office.join("", caller="") == "join_refused"
    assert await office.join("", caller="coordinator") == "join_refused"


@pytest.mark.parametrize("line", [b'{"type":"node.join"}', b'["ca.get"', b'{"id":"ca.get"}'])
async def test_other_lines_are_left_to_others(tmp_path: Path, line: bytes) -> None:
    """Interfaces section 1."""
    office = Office(tmp_path)
    answer = await answer_joining(
        line, office.authority, office.registrar, caller="", now=lambda: NOW
    )

    assert answer is None


async def test_registration_under_another_name_is_refused(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Issue 5: a node with another node's certificate; and without any."""
    house = House(nursery)
    house.coordinator._authority = Authority(tmp_path, now=NOW)
    for caller, node_id in (("node-2", 1), ("", 1), ("coordinator", None), ("", None)):
        near, far = trio.testing.memory_stream_pair()
        with trio.CancelScope():
            nursery.start_soon(_serve, house, near, caller)
            state = None if node_id is None else {"id": node_id, "account_num": 0}
            line = {"addr": ADDRESS, "state": state, "nonce": "AAAAAAAAAAAAAAAAAAAAAA=="}
            await far.send_all(msgspec.json.encode(line) + b"\n")
            told = msgspec.json.decode(bytes(await far.receive_some(1 << 16)))

        assert told["value"]["code"] == "wrong_certificate"
    assert await house.registrar.nodes() == []


async def _serve(house: House, stream: trio.abc.Stream, caller: str) -> None:
    await house.coordinator.serve(stream, caller=caller)
