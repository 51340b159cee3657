"""What a node shows for itself over TLS: got once, with a join token; renewed while there is time.

A node that embeds its coordinator makes its own token.
"""

import datetime
from collections.abc import Callable

import trio

from exchange.coordinator.authority import RENEW_DAYS, new_token
from exchange.coordinator.joining import join, renew
from exchange.node.birth import BIRTH, birth_nonce
from exchange.node.errors import BadSetting
from exchange.node.settings import COORDINATOR, Settings
from exchange.process import tls
from exchange.process.certificates import expires
from exchange.process.clocks import now
from exchange.process.errors import ProcessError
from exchange.process.logs import Event
from exchange.process.tls import Trust
from exchange.store.directory import Directory

LOOK_S = 6 * 3600.0  # between two looks at the end of the certificate


class Credentials:
    """The certificate of one node, in its data directory."""

    def __init__(
        self, directory: Directory, settings: Settings, coordinator: str, address: str
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._coordinator = coordinator
        self._address = address
        self._trust: Trust

    async def obtain(self) -> Trust:
        """Return what this node shows; get it from the coordinator if this is the first time.

        Raises BadSetting, CoordinatorUnreachable or RegistrationRefused.
        """
        path = self._settings.data_dir
        if (path / tls.DIRECTORY / tls.CERTIFICATE).exists():
            self._trust = Trust.of_node(path)
        else:
            self._trust = await self._join()
        return self._trust

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Renew the certificate while there is time; what does not work is tried again."""
        path = self._settings.data_dir / tls.DIRECTORY / tls.CERTIFICATE
        while True:
            try:
                if expires(path.read_bytes()) - now() < datetime.timedelta(days=RENEW_DAYS):
                    await renew(
                        self._settings.data_dir,
                        self._trust,
                        coordinator=self._coordinator,
                        address=self._address,
                    )
                    tell(Event("certificate_renewed", "the certificate of this node is renewed"))
            except (ProcessError, OSError, ValueError) as error:
                text = f"the certificate of this node is not renewed: {error}"
                tell(Event("certificate_unrenewed", text))
            await trio.sleep(LOOK_S)

    async def _join(self) -> Trust:
        settings, identity = self._settings, self._directory.identity()
        token = settings.join
        if settings.coordinator is None:
            node_id = 0 if identity is None else identity.node_id
            token = new_token(settings.data_dir / COORDINATOR, now=now(), node_id=node_id)
        if not token:
            raise BadSetting(
                "this node has no certificate, and no token to get one",
                remedy="run `exchange-coordinator token` there, and give what it prints to --join",
            )
        nonce = birth_nonce(settings.data_dir / BIRTH) if identity is None else identity.nonce
        return await join(
            settings.data_dir,
            coordinator=self._coordinator,
            nonce=nonce,
            address=self._address,
            token=token,
        )
