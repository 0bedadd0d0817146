"""Reading again what a server was started with, while it serves: tokens, certificates, the models."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.service import Service
from overtone.gpu_server.system.watched import Watched
from overtone.gpu_server.tls import ServerTls

log = logging.getLogger(__name__)


class Reloader:
    """Reads files again. One that cannot be used is logged, and the server goes on with what it has."""

    def __init__(self, service: Service, tls: ServerTls | None) -> None:
        settings = service.settings
        self._service = service
        self._tls = tls
        self._tokens = Watched([settings.tokens_file])
        self._certificates = Watched([settings.tls_certificate, settings.tls_key, settings.tls_client_ca])

    def changes(self) -> None:
        """Read the tokens and the certificates again where their files have changed."""
        if self._tokens.changed():
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None and self._certificates.changed():
            self._read("certificates", self._tls.reload)

    async def everything(self) -> None:
        """Read the tokens and the certificates again, and the models whose files have changed."""
        if self._service.access.needs_token:
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None:
            self._read("certificates", self._tls.reload)
        await self._service.repository.refresh()

    async def whenever(self, again: asyncio.Event) -> None:
        """Read everything again whenever this is set, until cancelled."""
        while True:
            await again.wait()
            again.clear()
            await self.everything()

    async def watch(self) -> None:
        """Look for changes from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self._service.settings.watch_interval)
            self.changes()

    def _read(self, what: str, read: Callable[[], None]) -> None:
        try:
            read()
        except (StartError, ValueError, OSError) as error:
            log.error("the %s stay as they were: %s", what, error)
        else:
            log.info("the %s have been read again", what)


@asynccontextmanager
async def reloading(service: Service, tls: ServerTls | None) -> AsyncIterator[Reloader]:
    """What reads the files of a server again, and does so by itself while inside."""
    reloader = Reloader(service, tls)
    watching = asyncio.create_task(reloader.watch(), name="overtone-reload")
    try:
        yield reloader
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
