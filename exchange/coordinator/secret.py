"""The cluster's secret: who is of the cluster, where there is no TLS to tell.

Theory of operation
===================
Without TLS listeners stay on loopback, and there any process of any user can dial, or take a
port whose owner is down.  So a coordinator makes 32 random bytes at its first start, and the
processes of its cluster prove to each other that they know them before they say anything else:

    proof = blake2b(role | caller's nonce | server's nonce, keyed with the secret)

Neither side reveals the secret, a proof is good for one connection, and the roles keep a
proof from being sent back as one's own.  The server proves first: who dials tells nothing to
whoever has taken the port.

A new node needs no option for it.  The server says in which file the secret lies; a node that
has none yet reads it there, which only a process of the same user can, and believes it only if
the file is its own user's alone and the server's proof fits (Tor's SAFECOOKIE does the same).
Then it keeps a copy in its own data directory, and from there on believes nothing else.
"""

import hmac
import os
import secrets
import stat
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import trio

from exchange.process.errors import ProcessError
from exchange.process.files import write_file
from exchange.wire.errors import RemoteProtocolError
from exchange.wire.proving import (
    NONCE_SIZE,
    PROOF_LINE_MAX,
    PROOF_SIZE,
    Prove,
    SecretProof,
    encode_proving,
    read_proof,
)

NAME = "cluster.secret"
SECRET_SIZE_MIN = 16  # characters
SECRET_SIZE_MAX = 256
PROVE_S = 10.0
SERVER, CALLER = b"server", b"caller"
WRONG = "it does not know the secret of this cluster, so it is no part of it"
UNPROVEN = (
    "whoever would be a node must prove that it knows the cluster's secret: start it with"
    " --join-secret and the cluster.secret of the coordinator, and without --no-auth"
)
NO_SECRET = (
    "nobody has to prove anything here: this process runs with --no-auth or --tls;"
    " start the other one alike"
)


class NotProven(ConnectionAbortedError):  # noqa: N818 - errors are named by fault
    """Whoever answers has not shown that it is of the cluster, or does not believe that we are."""


class BadSecret(ProcessError):  # noqa: N818
    """A file that holds no secret."""

    exit_code = 2


class ClusterSecret:
    """What a process knows of its cluster's secret, and the file where it keeps it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value = _read(path) if path.exists() else b""  # empty: not known yet

    @classmethod
    def made(cls, path: Path) -> "ClusterSecret":
        """Return the secret of a coordinator, made at its first start."""
        secret = cls(path)
        if not secret.value:
            secret.keep(secrets.token_urlsafe(32).encode())
        return secret

    def keep(self, value: bytes) -> None:
        """Believe nobody who does not know this, from now on."""
        if value != self.value:
            write_file(self.path, value + b"\n")
            self.value = value

    def take(self, path: Path) -> None:
        """Keep what a file holds that an operator has named; BadSecret if it is no secret."""
        self.keep(_read(path))

    async def prove(self, stream: trio.abc.Stream, *, may_learn: bool = False) -> None:
        """As who dials: see the other side's proof, then show the own one.

        With `may_learn` a secret that is not known yet is read where the server says it lies.
        Raises NotProven, or OSError where the connection ends; the stream is closed then.
        """
        try:
            with trio.fail_after(PROVE_S):
                await self._prove(stream, may_learn=may_learn)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            await trio.aclose_forcefully(stream)
            raise ConnectionAbortedError("it hung up, or said nothing") from error
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _prove(self, stream: trio.abc.Stream, *, may_learn: bool) -> None:
        nonce = os.urandom(NONCE_SIZE)
        await stream.send_all(encode_proving(Prove(nonce)))
        try:
            told = read_proof(await _line(stream))
        except RemoteProtocolError as error:
            raise NotProven(error.detail) from error
        value = self.value or (_secret_of_this_user(told.file) if may_learn else b"")
        if not value:
            raise NotProven(f"this node does not know the secret of its cluster: {UNPROVEN}")
        if not _is_proof(told.proof, value, SERVER, nonce, told.nonce):
            raise NotProven(f"{WRONG}; the secret of this node is in {self.path}")
        await stream.send_all(encode_proving(SecretProof(_proof(value, CALLER, nonce, told.nonce))))
        self.keep(value)


class Challenge:
    """As who is dialed: what a caller has to answer.  Makes no proof without a nonce of its own."""

    def __init__(self, secret: ClusterSecret, asked: Prove) -> None:
        assert secret.value, "a server knows its secret"
        self._value, self._asked, self._nonce = secret.value, asked, os.urandom(NONCE_SIZE)
        proof = _proof(self._value, SERVER, asked.nonce, self._nonce)
        self.line = encode_proving(SecretProof(proof, self._nonce, str(secret.path.resolve())))

    def check(self, line: bytes) -> None:
        """Take the caller's proof; RemoteProtocolError if it is none."""
        proof = read_proof(line).proof
        if not _is_proof(proof, self._value, CALLER, self._asked.nonce, self._nonce):
            raise RemoteProtocolError("wrong_secret", WRONG)


def _proof(value: bytes, role: bytes, caller: bytes, server: bytes) -> bytes:
    text = b"|".join((role, caller.hex().encode(), server.hex().encode()))
    return blake2b(text, key=blake2b(value).digest(), digest_size=PROOF_SIZE).digest()


def _is_proof(proof: bytes, value: bytes, role: bytes, caller: bytes, server: bytes) -> bool:
    return hmac.compare_digest(proof, _proof(value, role, caller, server))


async def _line(stream: trio.abc.Stream) -> bytes:
    """Read one line, behind which nothing comes before we have answered."""
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some(PROOF_LINE_MAX)
        line += data
        if not data or len(line) > PROOF_LINE_MAX:
            raise NotProven("it does not prove that it is of the cluster")
    return line


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            value = file.read(SECRET_SIZE_MAX + 2).strip()
    except OSError as error:
        raise BadSecret(
            f"cannot read the cluster's secret {path}: {error.strerror}",
            remedy="give the cluster.secret in the coordinator's data directory",
        ) from error
    if not SECRET_SIZE_MIN <= len(value) <= SECRET_SIZE_MAX:
        raise BadSecret(
            f"{path} holds no secret of a cluster",
            remedy="put back the cluster.secret of any process of the cluster",
        )
    return value


def _secret_of_this_user(told: str) -> bytes:
    """Read the file that a server names; empty if it is not this user's alone."""
    path = Path(told)
    with suppress(OSError, ValueError, BadSecret):
        found = path.lstat()
        is_private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
        if path.is_absolute() and path.name == NAME and is_private:
            return _read(path) if found.st_uid == os.geteuid() else b""
    return b""
