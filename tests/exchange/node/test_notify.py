"""The service manager hears of readiness."""

import socket
from pathlib import Path

import pytest

from exchange.node.notify import notify


@pytest.mark.parametrize("is_abstract", [False, True])
def test_state_arrives(tmp_path: Path, is_abstract: bool) -> None:
    """Issue 5: readiness notification."""
    path = f"@exchange-{tmp_path}" if is_abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + path[1:] if is_abstract else path)

        assert notify("READY=1", {"NOTIFY_SOCKET": path})
        assert listener.recv(100) == b"READY=1"


def test_nobody_who_listens_is_no_error(tmp_path: Path) -> None:
    """A node runs without a service manager, or with one that went away."""
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "absent")})
