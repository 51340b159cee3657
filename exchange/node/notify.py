"""Tell the service manager how things stand, as systemd's `Type=notify` asks.

One datagram to the socket that NOTIFY_SOCKET names; a name that begins with @ is abstract.
"""

import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str]) -> bool:
    """Say `READY=1` or `STOPPING=1`; False where nobody asked, or nobody listens."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), address)
        except OSError:  # who started us does not listen: that must not end a node
            return False
    return True
