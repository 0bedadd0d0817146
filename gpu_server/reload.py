"""Reloading of tokens, certificates and models while the server serves, when files change or on SIGHUP."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.service import Service
from overtone.gpu_server.system.watched_files import WatchedFiles
from overtone.gpu_server.tls import ServerTls

log = logging.getLogger(__name__)


class Reloader:
    """Reads files again. If one cannot be used, that is logged, and the server goes on with what it has."""

    def __init__(self, service: Service, tls: ServerTls | None) -> None:
        settings = service.settings
        self._service = service
        self._tls = tls
        self._tokens = WatchedFiles([settings.tokens_file])
        self._certificates = WatchedFiles(
            [settings.tls_certificate, settings.tls_key, settings.tls_client_ca]
        )

    def reload_changed(self) -> None:
        """Read the tokens and the certificates again if their files have changed."""
        if self._tokens.changed():
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None and self._certificates.changed():
            self._read("certificates", self._tls.reload)

    async def reload_all(self) -> None:
        """Read the tokens and the certificates again, and the models whose files have changed."""
        if self._service.access.needs_token:
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None:
            self._read("certificates", self._tls.reload)
        await self._service.repository.refresh()

    async def reload_on(self, requested: asyncio.Event) -> None:
        """Read everything again whenever this event is set, until cancelled."""
        while True:
            await requested.wait()
            requested.clear()
            await self.reload_all()

    async def watch(self) -> None:
        """Call `reload_changed` every `settings.watch_interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._service.settings.watch_interval)
            self.reload_changed()

    def _read(self, what: str, read: Callable[[], None]) -> None:
        try:
            read()
        except (StartError, ValueError, OSError) as error:
            log.error("the %s stay as they were: %s", what, error)
        else:
            log.info("the %s have been read again", what)


@asynccontextmanager
async def reloading(service: Service, tls: ServerTls | None) -> AsyncIterator[Reloader]:
    """A reloader of a service's files, which also watches them for changes while inside."""
    reloader = Reloader(service, tls)
    watching = asyncio.create_task(reloader.watch(), name="overtone-reload")
    try:
        yield reloader
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
