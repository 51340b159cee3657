"""Nodes on hosts of their own: cut, lossy, reset, and nothing is left behind."""

import os
import subprocess
import sys
from itertools import islice

import msgspec
import pytest
import trio

from fuzz.chaos.namespaces import Hosts, hosts, left_over, why_no_hosts
from fuzz.chaos.plan import Lose, Slow, faults


@pytest.fixture(scope="module", autouse=True)
def _needs_hosts() -> None:
    why_not = why_no_hosts()
    if why_not:
        pytest.skip(why_not)


SENT = 40
RECEIVE = """
import socket, sys
receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.bind(("", 9))
print("bound", flush=True)
receiver.settimeout(1)
arrived = 0
while receiver.recv(9) != b"end":
    arrived += 1
print(arrived)
"""
SEND = """
import socket, sys
sender = socket.socket(type=socket.SOCK_DGRAM)
for word in [b"x"] * int(sys.argv[2]) + [b"end"] * 100:
    sender.sendto(word, (sys.argv[1], 9))
"""


def arrivals(made: Hosts, source: int, target: int) -> int:
    """Send datagrams and count those that arrive."""
    command = [*made.prefix(target), sys.executable, "-c", RECEIVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        to = [made.address(target), str(SENT)]
        subprocess.run([*made.prefix(source), sys.executable, "-c", SEND, *to], check=True)
        return int(receiver.stdout.read() or 0)


def test_cut_drops_one_way_until_it_is_mended() -> None:
    with hosts(2) as made:
        made.cut({(1, 2)})
        assert arrivals(made, 1, 2) == 0
        assert arrivals(made, 2, 1) == SENT
        made.mend({(1, 2)})
        assert arrivals(made, 1, 2) == SENT


def test_some_packets_are_lost_until_it_is_healed() -> None:
    with hosts(2) as made:
        made.lose({(1, 2)}, 50)
        assert 0 < arrivals(made, 1, 2) < SENT
        made.heal()
        assert arrivals(made, 1, 2) == SENT


def test_hosts_are_gone_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), hosts(2):
        _ = len(left_over(os.getpid())) / 0
    assert left_over(os.getpid()) == []


def test_hosts_draw_loss_instead_of_delay() -> None:
    drawn = [fault for _, fault in islice(faults(5, 3, has_small_disks=True, has_hosts=True), 99)]

    assert any(isinstance(fault, Lose) for fault in drawn)
    assert not any(isinstance(fault, Slow) for fault in drawn)


async def test_chaos_on_hosts_ends_well_and_leaves_nothing() -> None:
    """S4, B5 on real sockets; the last line is JSON."""
    command = [sys.executable, "-m", "fuzz.chaos", "--network", "namespaces"]
    command += ["--seed", "7", "--cycles", "2", "--minutes", "0.2"]
    with trio.fail_after(120):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )

    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (found["campaign"], found["failed"], found["wrong"]) == ("chaos", 0, [])
    assert found["trades"] > 0
