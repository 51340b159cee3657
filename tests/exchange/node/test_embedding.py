"""The stream between a node and the gateway in its process."""

from exchange.node.embedding import stream_pair


async def test_stream_pair_carries_bytes_both_ways() -> None:
    """C7: one code path; to the node it is a client like any other."""
    ours, theirs = stream_pair()
    async with ours, theirs:
        await ours.send_all(b"up")
        await theirs.send_all(b"down")

        assert (await theirs.receive_some(), await ours.receive_some()) == (b"up", b"down")
