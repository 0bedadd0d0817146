"""One server of several processes: faces, which share its ports, one engine, and this one, which keeps them running.

A face has sessions, REST, decoding and the state of unfinished images; the engine forms batches of all faces' images.
Whoever ends unexpectedly is started again. A face takes only its own connections with it.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.limits import tokens
from overtone.gpu_server.networks.stub import seconds_of
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import check_tls, exposure, listeners
from overtone.gpu_server.system.ending import ENDING
from overtone.gpu_server.system.watched import Watched
from overtone.gpu_server.telemetry import shared_metrics
from overtone.gpu_server.workers import casualties
from overtone.gpu_server.workers.child import Child
from overtone.gpu_server.workers.edition import Edition
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.processes import run_engine, run_face
from overtone.gpu_server.workers.told import Told
from overtone.models import choose_device, find

log = logging.getLogger(__name__)

# More faces than this are never chosen, only given.
MOST_FACES = 8
# The folder in which all processes count.
METRICS = "metrics"
# Seconds for the engine to end after the faces, before it is killed.
ENGINE_ENDING = 1.0
# Seconds between looks at an engine that nobody is to use any more, and at a process that starts.
INTERVAL = 0.5


def worker_count(settings: Settings) -> int:
    """How many faces a server should have.

    Raises:
        StartError: there is no such device, or there are several models.
    """
    if settings.models is not None:
        if settings.workers > 1:
            raise StartError("several models (--models) are served by one process; use --workers 1")
        return 1
    if settings.workers:
        return settings.workers
    if all(seconds_of(device) is not None for device in settings.devices):
        return 1
    try:
        cuda = choose_device(settings.devices[0]).type == "cuda"
    except ValueError as error:
        raise StartError(f"cannot serve {settings.model}: {error}") from error
    return min(MOST_FACES, max(1, (os.cpu_count() or 1) // 2)) if cuda else 1


def run_workers(settings: Settings, count: int) -> None:
    """Serve with so many faces until SIGINT or SIGTERM.

    Raises:
        StartError: a port, a file, the model or the device cannot be used.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise StartError("this system cannot share ports between processes; use --workers 1")
    check_tls(settings)
    try:
        if settings.tokens_file is not None:
            tokens.read(settings.tokens_file)
    except ValueError as error:
        raise StartError(f"OVERTONE_TOKENS_FILE {error}") from error
    for warning in exposure(settings):
        log.warning(warning)
    with tempfile.TemporaryDirectory(prefix="overtone-") as name, _ports(settings) as bound:
        directory = Path(name)
        with shared_metrics.shared(directory / METRICS):
            _Supervisor(bound, count, directory).run()


@contextlib.contextmanager
def _ports(settings: Settings) -> Iterator[Settings]:
    """Settings with the ports that all faces will share; they remain taken while inside."""
    wanted = [("grpc_port", settings.host, "gRPC"), ("http_port", settings.host, "HTTP")]
    if settings.admin_port is not None:
        wanted.append(("admin_port", settings.admin_host, "admin"))
    ports = {}
    with contextlib.ExitStack() as held:
        for name, host, protocol in wanted:
            # First alone, or a second server would share the ports of the first one instead of failing.
            alone = listeners(host, getattr(settings, name), protocol)
            bound = [(each.family, each.getsockname()) for each in alone]
            for each in alone:
                each.close()
            for family, address in bound:
                _take(held.enter_context(socket.socket(family, socket.SOCK_STREAM)), address)
            ports[name] = bound[0][1][1]
        yield settings.model_copy(update=ports)


def _take(shared: socket.socket, address: tuple[object, ...]) -> None:
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if shared.family == socket.AF_INET6:
        shared.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    shared.bind(address)  # but never listens, so it gets no connections


class _Engine(Child):
    """The engine of one edition."""

    def __init__(self, settings: Settings, edition: Edition) -> None:
        super().__init__("overtone-engine", run_engine, settings, edition)
        self.edition = edition


class _Supervisor:
    """Starts all processes, and keeps them running.

    Raises:
        StartError: the model cannot be read.
    """

    def __init__(self, settings: Settings, count: int, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        try:
            self._source = find(settings.model)
            self._model = Watched([self._source])
            edition = Edition(0, directory)
            edition.copy(self._source)
        except (ValueError, OSError) as error:
            raise StartError(f"cannot serve {settings.model}: {error}") from error
        edition.publish()
        self._engine = _Engine(settings, edition)
        self._faces = [
            Child(f"overtone-face-{number}", run_face, settings, Face(number, count, directory))
            for number in range(count)
        ]
        # Of another model: one that starts, and those of which sessions may still be open.
        self._next: _Engine | None = None
        self._leaving: list[_Engine] = []
        self._told = Told(self._kill)
        self._look_at_model = False

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            StartError: what a process says why it cannot start.
        """
        try:
            for child in self._lasting:
                child.start()
            if line := self._started():
                print(line, flush=True)
            while not self._told.stop:
                self._wait()
                self._reload()
                for child in self._lasting:
                    self._keep(child)
                self._replace()
                self._part()
            # The faces first, which need the engine for what is in flight.
            self._end(self._faces, self._settings.pause + self._settings.drain + ENDING)
            self._end(self._engines, ENGINE_ENDING)
        finally:
            self._kill()
            for child in [*self._faces, *self._engines]:
                child.join(ENGINE_ENDING)

    @property
    def _lasting(self) -> list[Child]:
        """The engine first, which the faces need."""
        return [self._engine, *self._faces]

    @property
    def _engines(self) -> list[_Engine]:
        return [self._engine, *([self._next] if self._next else []), *self._leaving]

    def _kill(self) -> None:
        """End all that still run at once."""
        for child in [*self._faces, *self._engines]:
            child.signal(signal.SIGKILL)
            child.close()

    def _started(self) -> str:
        """Wait until all are ready, and return what a face says that it serves; nothing if told to stop before."""
        line = ""
        missing = self._lasting
        while missing and not self._told.stop:
            news = [child.news for child in missing if child.news is not None]
            found = wait([*news, self._told.woken])
            self._hear()
            for child in [child for child in missing if child.news in found]:
                kind, text = child.hear() or ("error", f"{child.name} ended before it was ready")
                if kind == "error":
                    raise StartError(text)
                line = text or line
                missing.remove(child)
        return "" if self._told.stop else line

    def _wait(self) -> None:
        """Wait until there is something to do."""
        children: Iterable[Child] = [*self._faces, *self._engines]
        patience = [max(0.0, child.due) for child in self._lasting if not child.running]
        if self._next or self._leaving:
            patience.append(INTERVAL)
        ends: list[int | Connection] = [child.sentinel for child in children if child.running]
        wait([*ends, self._told.woken], min(patience, default=None))

    def _keep(self, child: Child) -> None:
        """Start it again if it has ended."""
        if child.running:
            return
        if child.started:
            self._bury(child)
        elif child.due <= 0:
            child.start()

    def _bury(self, child: Child) -> None:
        """What died with a process has failed, and is counted as that."""
        pid, lost = child.pid, self._count_lost(child)
        log.error(
            "%s (pid %d): %s; it is started again, and has lost %d", child.name, pid, child.ended(), lost
        )

    def _count_lost(self, child: Child) -> int:
        return casualties.count(self._directory / METRICS, child.pid)

    def _hear(self) -> None:
        """If told to, have files read again."""
        if self._told.again():
            self._look_at_model = True
            for face in self._faces:
                face.signal(signal.SIGHUP)

    def _reload(self) -> None:
        """If told to, load the model if it has changed; while another one is being loaded, that has to wait."""
        self._hear()
        if not self._look_at_model or self._next is not None:
            return
        self._look_at_model = False
        if self._model.changed():
            edition = self._engine.edition.next
            try:
                edition.copy(self._source)
            except (ValueError, OSError) as error:
                log.error("the model stays as it was: %s", error)
            else:
                self._next = _Engine(self._settings, edition)
                self._next.start()

    def _replace(self) -> None:
        """If the engine of another model is ready, have the faces use it for what begins from now on."""
        if self._next is None:
            return
        alive, news = self._next.running, self._next.hear()
        if news and news[0] == "ready":
            self._next.edition.publish()
            if self._engine.started:
                self._engine.signal(signal.SIGUSR1)
                self._leaving.append(self._engine)
            self._engine, self._next = self._next, None
            for face in self._faces:
                face.signal(signal.SIGHUP)
        elif news or not alive:
            log.error("the model stays as it was: %s", news[1] if news else "its engine ended")
            self._end([self._next], ENGINE_ENDING)
            self._next.edition.remove()
            self._next = None

    def _part(self) -> None:
        """Forget the engines that have ended because no session uses them any more."""
        for engine in [engine for engine in self._leaving if not engine.running]:
            self._count_lost(engine)
            engine.edition.remove()
            self._leaving.remove(engine)

    def _end(self, children: Iterable[Child], patience: float) -> None:
        """Tell processes to stop, and kill those that have not done so in time."""
        running = [child for child in children if child.running]
        for child in running:
            child.signal(signal.SIGTERM)
        limit = time.monotonic() + patience
        for child in running:
            if not child.join(limit - time.monotonic()):
                log.error("%s did not stop in time and is killed", child.name)
                child.signal(signal.SIGKILL)
                child.join(patience)
            child.close()
