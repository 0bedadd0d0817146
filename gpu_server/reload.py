"""Reading again what a server was started with, while it serves: tokens, certificates, the model."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.service import Service
from overtone.gpu_server.tls import ServerTls

log = logging.getLogger(__name__)


class Watched:
    """Files that may be replaced."""

    def __init__(self, paths: Iterable[Path | None]) -> None:
        self._paths = [path for path in paths if path is not None]
        self._seen = self._state()

    def changed(self) -> bool:
        """Whether one of them is another than at the last call, or when this object was made."""
        before, self._seen = self._seen, self._state()
        return self._seen != before

    def _state(self) -> list[tuple[int, ...] | None]:
        return [_fingerprint(path) for path in self._paths]


def _fingerprint(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Reloader:
    """Reads files again. One that cannot be used is logged, and the server goes on with what it has."""

    def __init__(self, service: Service, tls: ServerTls | None) -> None:
        settings = service.settings
        self._service = service
        self._tls = tls
        self._tokens = Watched([settings.tokens_file])
        self._certificates = Watched([settings.tls_certificate, settings.tls_key, settings.tls_client_ca])
        self._model = Watched([service.model_file])
        self._one_at_a_time = asyncio.Lock()

    def changes(self) -> None:
        """Read the tokens and the certificates again where their files have changed."""
        if self._tokens.changed():
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None and self._certificates.changed():
            self._read("certificates", self._tls.reload)

    async def everything(self) -> None:
        """Read the tokens and the certificates again, and the model if its file has changed."""
        if self._service.access.needs_token:
            self._read("tokens", self._service.reload_tokens)
        if self._tls is not None:
            self._read("certificates", self._tls.reload)
        async with self._one_at_a_time:
            if self._model.changed():
                await self._load()

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

    async def _load(self) -> None:
        try:
            await self._service.reload_model()
        except StartError as error:
            log.error("the model stays as it was: %s", error)
        else:
            log.info("the model has been loaded again; sessions finish on the one before")


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
