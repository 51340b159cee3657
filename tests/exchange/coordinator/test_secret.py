"""Who is of the cluster where there is no TLS: whoever knows its secret, and nobody else."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from exchange.coordinator.secret import (
    CALLER,
    NAME,
    BadSecret,
    Challenge,
    ClusterSecret,
    NotProven,
    _proof,
)
from exchange.wire.errors import RemoteProtocolError
from exchange.wire.proving import Prove, SecretProof, encode_proving, read_proof, read_prove

NONCE = b"n" * 32


def a_secret(directory: Path) -> ClusterSecret:
    return ClusterSecret.made(directory / NAME)


async def an_honest_server(stream: trio.abc.Stream, secret: ClusterSecret) -> None:
    """Answer a caller, and take its proof."""
    asked = read_prove(bytes(await stream.receive_some()))
    assert asked is not None
    challenge = Challenge(secret, asked)
    await stream.send_all(challenge.line)
    proof = bytes(await stream.receive_some())
    if proof:  # else the caller does not believe us
        challenge.check(proof)


async def silence(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


async def call(
    caller: ClusterSecret,
    server: Callable[[trio.abc.Stream], Awaitable[None]],
    *,
    may_learn: bool = False,
) -> None:
    ours, theirs = memory_stream_pair()
    failed: OSError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server, theirs)
        try:
            await caller.prove(ours, may_learn=may_learn)
        except OSError as error:
            failed = error
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    made = a_secret(tmp_path)

    assert made.value
    assert a_secret(tmp_path).value == made.value
    assert made.path.stat().st_mode & 0o077 == 0


def test_a_file_without_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("short")

    with pytest.raises(BadSecret, match="holds no secret"):
        ClusterSecret(tmp_path / NAME)
    with pytest.raises(BadSecret, match="cannot read"):
        ClusterSecret(tmp_path / "other").take(tmp_path / "missing")


async def test_a_new_node_of_the_same_user_finds_the_secret_and_keeps_it(tmp_path: Path) -> None:
    """Joining on one machine needs no option."""
    secret, node = a_secret(tmp_path), ClusterSecret(tmp_path / "node" / NAME)

    await call(node, lambda stream: an_honest_server(stream, secret), may_learn=True)

    assert ClusterSecret(tmp_path / "node" / NAME).value == secret.value


async def test_a_node_that_knows_its_cluster_believes_no_other(tmp_path: Path) -> None:
    """Whoever has taken the coordinator's port is not believed, whatever file it names."""
    node, other = a_secret(tmp_path / "a"), a_secret(tmp_path / "b")
    before = node.value

    with pytest.raises(NotProven, match="does not know the secret"):
        await call(node, lambda stream: an_honest_server(stream, other), may_learn=True)

    assert ClusterSecret(node.path).value == before


async def test_a_file_that_others_can_read_is_not_believed(tmp_path: Path) -> None:
    secret, node = a_secret(tmp_path), ClusterSecret(tmp_path / "node" / NAME)
    secret.path.chmod(0o644)

    with pytest.raises(NotProven, match="--join-secret"):
        await call(node, lambda stream: an_honest_server(stream, secret), may_learn=True)

    assert not node.path.exists()


async def test_a_secret_is_never_learned_from_a_peer(tmp_path: Path) -> None:
    secret, node = a_secret(tmp_path), ClusterSecret(tmp_path / "node" / NAME)

    with pytest.raises(NotProven):
        await call(node, lambda stream: an_honest_server(stream, secret))

    assert not node.value


async def test_a_server_that_names_the_file_and_proves_nothing_is_not_believed(
    tmp_path: Path,
) -> None:
    """A stranger knows where the file lies, and not what is in it."""
    secret, node = a_secret(tmp_path), ClusterSecret(tmp_path / "node" / NAME)

    async def stranger(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(encode_proving(SecretProof(b"x" * 32, NONCE, str(secret.path))))

    with pytest.raises(NotProven):
        await call(node, stranger, may_learn=True)

    assert not node.value


def test_a_proof_cannot_be_sent_back(tmp_path: Path) -> None:
    """The roles differ: the server's own proof is none of a caller."""
    challenge = Challenge(a_secret(tmp_path), Prove(NONCE))
    own = read_proof(challenge.line)

    with pytest.raises(RemoteProtocolError, match="does not know the secret"):
        challenge.check(encode_proving(SecretProof(own.proof)))


def test_a_proof_is_good_for_one_connection(tmp_path: Path) -> None:
    """The server's nonce is new each time."""
    secret = a_secret(tmp_path)
    first, second = Challenge(secret, Prove(NONCE)), Challenge(secret, Prove(NONCE))
    line = encode_proving(
        SecretProof(_proof(secret.value, CALLER, NONCE, read_proof(first.line).nonce))
    )

    first.check(line)
    with pytest.raises(RemoteProtocolError):
        second.check(line)


async def test_what_answers_something_else_has_proven_nothing(tmp_path: Path) -> None:
    async def another_program(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n")
        await stream.aclose()

    with pytest.raises(NotProven):
        await call(a_secret(tmp_path), another_program)


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    async def flood(stream: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x" * 4_096)

    with pytest.raises(NotProven):
        await call(a_secret(tmp_path), flood)


async def test_silence_ends_a_call(tmp_path: Path, autojump_clock: object) -> None:
    with pytest.raises(ConnectionAbortedError, match="said nothing"):
        await call(a_secret(tmp_path), silence)
