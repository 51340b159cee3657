"""Whoever answers at the address of a node is asked who it is, before anything else (C3).

A node that was lost and born again has another id, perhaps at the old address: asked as if it
were the lost one, its trades would count twice.  With TLS the certificate says it; without, and
where no account is named, `node.status` does.
"""

import msgspec
import trio

ASK_SECONDS_MAX = 5.0  # a node that is starting lets clients in within three (C5)
ANSWER_BYTES_MAX = 1 << 22  # of a status: a line for each of 8,191 peers
READ_SIZE = 1 << 16
QUESTION = b'{"id":"who","type":"node.status","value":{}}\n'


class _Said(msgspec.Struct, frozen=True):
    node_id: int


class _Answer(msgspec.Struct, frozen=True):
    value: _Said


async def check_node(stream: trio.abc.Stream, node_id: int) -> None:
    """Ask who is at the other end; OSError, and the stream closed, if it is not that node."""
    try:
        with trio.fail_after(ASK_SECONDS_MAX):
            found = await _node_at(stream)
    except (trio.TooSlowError, trio.BrokenResourceError) as error:
        await trio.aclose_forcefully(stream)
        raise OSError(f"node {node_id} does not say who it is") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    if found != node_id:
        await trio.aclose_forcefully(stream)
        raise OSError(f"node {found} is where node {node_id} was")


async def _node_at(stream: trio.abc.Stream) -> int:
    await stream.send_all(QUESTION)
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some(READ_SIZE)
        if not data or len(line) > ANSWER_BYTES_MAX:
            raise OSError("what answers there is no node")
        line += data
    try:
        return msgspec.json.decode(line, type=_Answer).value.node_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise OSError("what answers there is no node") from error
