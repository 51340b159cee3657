"""A node's service in the process of the test, where its disk can be made to fail."""

from pathlib import Path

import trio

from exchange.node.service import Service
from exchange.node.settings import Settings
from exchange.process.addresses import Address

ANYWHERE = Address("127.0.0.1", 0)


class Running:
    """A service on ports of the system's choice, and what it told."""

    def __init__(
        self,
        path: Path,
        *,
        is_authenticated: bool = False,
        is_tls: bool = False,
        coordinator: Address | None = None,
        join: str = "",
    ) -> None:
        self.told: list[str] = []
        self.readies = 0
        self._ready = trio.Event()
        settings = Settings(
            path,
            listen=ANYWHERE,
            coordinator=coordinator,
            coordinator_listen=ANYWHERE,
            is_authenticated=is_authenticated,
            is_tls=is_tls,
            join=join,
        )
        self.service = Service(settings, tell=self._tell)

    def _tell(self, line: str) -> None:
        self.told.append(line)
        if " serves on " in line:
            self.readies += 1
            self._ready.set()
            self._ready = trio.Event()

    async def wait_ready(self, times: int = 1) -> None:
        """Return when it has begun to serve so often."""
        while self.readies < times:
            await self._ready.wait()

    @property
    def tcp(self) -> str:
        """Where it serves now."""
        *_, line = [line for line in self.told if " serves on " in line]
        return line.split(" serves on ")[1].split(",")[0]

    @property
    def coordinator(self) -> str:
        """Where its embedded coordinator listens."""
        (line,) = [line for line in self.told if line.startswith("coordinator on ")][-1:]
        return line.removeprefix("coordinator on ")
