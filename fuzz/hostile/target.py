"""The server under attack: a node with its gateway, a victim's account and the attacker's."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import trio

from exchange.client.cluster_process import SERVERS, Server
from fuzz.hostile.judge import Judge
from fuzz.violation import Violation

SERVERS["exchange"] = "exchange.gateway.node_command"
FREE = "127.0.0.1:0"
SECONDS = 20.0  # without an answer it hangs
VICTIMS_ORDER = "the-victims-own-name"
VICTIMS_CASH = ("7777.77", "7774.77")  # before and after its order
FAILURES = (b"Traceback", b"failed", b"Error")


class Target:
    """A process, and what is known of it from outside."""

    def __init__(self, directory: Path) -> None:
        arguments = ["--coordinator-listen", FREE, "--https", FREE, "--plain-http"]
        self.server = Server("exchange", directory / "node", arguments)
        trio.run(self.server.start)
        told = msgspec.json.decode((self.server.directory / "endpoints.json").read_bytes())
        self.tcp, self.https, self._coordinator = told["tcp"], told["https"], told["coordinator"]
        self._operator = (self.server.directory / "operator.key").read_text().strip()
        self.victim = self._open_account(VICTIMS_CASH[0])
        self._trade_as_victim()
        self.attacker = self._open_account()
        secrets = [self._operator, self.victim["api_key"], VICTIMS_ORDER, *VICTIMS_CASH]
        self.judge = Judge([*secrets, str(directory)])
        self._epoch = self._status()["epoch"]
        self._said = 0  # bytes of its log that were looked at

    def close(self) -> None:
        """End it."""
        self.server.kill()

    @property
    def rss_mb(self) -> float:
        """Return the memory of the process."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1e3

    def connect(self, address: str) -> socket.socket:
        """Connect to one of its listeners."""
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=SECONDS)

    def hello(self) -> bytes:
        """Return the first line of the attacker."""
        return msgspec.json.encode(self.attacker) + b"\n"

    def check(self) -> None:
        """Refuse a process that has ended or restarted, or complains of something."""
        if not self.server.is_running:
            raise Violation("crash", self.server.last_words())
        log = self.server.log.read_bytes()
        new, self._said = log[self._said :], len(log)
        if any(failure in new for failure in FAILURES):
            raise Violation("crash", new.decode(errors="replace")[-2_000:])
        if self._status()["epoch"] != self._epoch:
            raise Violation("crash", "it lives another life")
        self._renew_attacker()

    def _renew_attacker(self) -> None:
        """Open another account if the attacker has ruined its own."""
        answer = self._ask(self.tcp, self.attacker, {"id": 1, "type": "key.list", "value": {}})
        if answer["type"] == "error":
            self.attacker = self._open_account()

    def _open_account(self, cash: str = "1000000") -> dict[str, str]:
        request = {"id": 1, "type": "account.create", "value": {}, "auth": self._operator}
        opened = self._ask(self._coordinator, None, request)["value"]
        value = {"user_id": opened["user_id"], "asset": "USD", "quantity": cash}
        deposit = {"id": 1, "type": "account.deposit", "value": value, "auth": self._operator}
        self._ask(self.tcp, opened, deposit)
        return {"user_id": opened["user_id"], "api_key": opened["api_key"]}

    def _trade_as_victim(self) -> None:
        value = {"symbol": "AAPL", "side": "buy", "price": "1", "quantity": "3"}
        value["client_order_id"] = VICTIMS_ORDER
        self._ask(self.tcp, self.victim, {"id": 1, "type": "order.create", "value": value})

    def _status(self) -> Any:  # noqa: ANN401
        return self._ask(self.tcp, None, {"id": 1, "type": "node.status", "value": {}})["value"]

    def _ask(self, address: str, hello: object, request: object) -> Any:  # noqa: ANN401
        with self.connect(address) as connection:
            first = [] if hello is None else [hello]
            for line in (*first, request):
                connection.sendall(msgspec.json.encode(line) + b"\n")
            return msgspec.json.decode(connection.makefile("rb").readline())
