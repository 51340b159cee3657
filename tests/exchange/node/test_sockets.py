"""Every connection has the options that the design asks for."""

import socket

import trio

from exchange.node.sockets import dial, prepare


async def test_every_connection_sends_at_once_and_is_kept_alive() -> None:
    """C5: TCP_NODELAY; interfaces section 1: keepalive at 10 s."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        wire = await dial(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        accepted = await listener.accept()
        async with wire.stream, accepted:
            prepare(accepted)

            for stream in (wire.stream, accepted):
                assert isinstance(stream, trio.SocketStream)
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
