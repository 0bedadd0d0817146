"""The supervisor of a server of several processes: it starts faces, which share the ports, and one engine.

A face has sessions, REST, decoding and the state of unfinished images; the engine forms batches of all faces' images.
The supervisor starts a process again that ends unexpectedly; a face that ends breaks its own connections alone. For a
model that is loaded again it starts a second engine, and stops the first one when no session uses it any more.
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
from overtone.gpu_server.sockets import exposure_warnings, listeners
from overtone.gpu_server.system.shutdown import SHUTDOWN_SECONDS
from overtone.gpu_server.system.signals import SignalListener
from overtone.gpu_server.system.watched_files import WatchedFiles
from overtone.gpu_server.telemetry import shared_metrics
from overtone.gpu_server.tls import check_tls
from overtone.gpu_server.workers import lost_requests
from overtone.gpu_server.workers.child import Child
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.generation import Generation
from overtone.gpu_server.workers.processes import run_engine, run_face
from overtone.models import choose_device, find

log = logging.getLogger(__name__)

# The largest number of faces that is chosen automatically.
MOST_FACES = 8
# The folder in which prometheus_client keeps the counters of all processes.
METRICS = "metrics"
# Seconds for the engine to stop after the faces, before it is killed.
ENGINE_STOP_SECONDS = 1.0
# Seconds between two looks at an engine that is starting or retiring.
INTERVAL = 0.5


def worker_count(settings: Settings) -> int:
    """How many processes, faces, accept connections; 1 means that everything runs in one process.

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
    for warning in exposure_warnings(settings):
        log.warning(warning)
    with tempfile.TemporaryDirectory(prefix="overtone-") as name, _ports(settings) as bound:
        directory = Path(name)
        with shared_metrics.shared(directory / METRICS):
            _Supervisor(bound, count, directory).run()


@contextlib.contextmanager
def _ports(settings: Settings) -> Iterator[Settings]:
    """Settings with the numbers of the ports that all faces will share, which are reserved while inside."""
    wanted = [("grpc_port", settings.host, "gRPC"), ("http_port", settings.host, "HTTP")]
    if settings.admin_port is not None:
        wanted.append(("admin_port", settings.admin_host, "admin"))
    ports = {}
    with contextlib.ExitStack() as held:
        for name, host, protocol in wanted:
            # Bound without sharing first; else a second server would share the ports of the first one and not fail.
            exclusive = listeners(host, getattr(settings, name), protocol)
            bound = [(each.family, each.getsockname()) for each in exclusive]
            for each in exclusive:
                each.close()
            for family, address in bound:
                _reserve(held.enter_context(socket.socket(family, socket.SOCK_STREAM)), address)
            ports[name] = bound[0][1][1]
        yield settings.model_copy(update=ports)


def _reserve(shared: socket.socket, address: tuple[object, ...]) -> None:
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if shared.family == socket.AF_INET6:
        shared.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    shared.bind(address)  # it never listens, so it gets no connections


class _Engine(Child):
    """The engine's process for one generation of the model."""

    def __init__(self, settings: Settings, generation: Generation) -> None:
        super().__init__("overtone-engine", run_engine, settings, generation)
        self.generation = generation


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
            self._model = WatchedFiles([self._source])
            generation = Generation(0, directory)
            generation.copy(self._source)
        except (ValueError, OSError) as error:
            raise StartError(f"cannot serve {settings.model}: {error}") from error
        generation.publish()
        self._engine = _Engine(settings, generation)
        self._faces = [
            Child(f"overtone-face-{number}", run_face, settings, Face(number, count, directory))
            for number in range(count)
        ]
        # Engines of other generations: one that is starting, and those that retire once no session uses them.
        self._next: _Engine | None = None
        self._retiring: list[_Engine] = []
        self._signals = SignalListener(self._kill)
        self._check_model = False

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            StartError: a process cannot start; the message is its own.
        """
        try:
            for child in self._permanent:
                child.start()
            if lines := self._wait_until_ready():
                print(lines, flush=True)
            while not self._signals.stop:
                self._wait()
                self._reload()
                for child in self._permanent:
                    self._restart(child)
                self._switch_engine()
                self._remove_retired()
            # The faces first, which need the engine for the images in flight.
            self._stop(self._faces, self._settings.pause + self._settings.drain + SHUTDOWN_SECONDS)
            self._stop(self._engines, ENGINE_STOP_SECONDS)
        finally:
            self._kill()
            for child in [*self._faces, *self._engines]:
                child.join(ENGINE_STOP_SECONDS)

    @property
    def _permanent(self) -> list[Child]:
        """The processes that are started again when they end; the engine first, which the faces need."""
        return [self._engine, *self._faces]

    @property
    def _engines(self) -> list[_Engine]:
        return [self._engine, *([self._next] if self._next else []), *self._retiring]

    def _kill(self) -> None:
        """Kill all processes that still run."""
        for child in [*self._faces, *self._engines]:
            child.signal(signal.SIGKILL)
            child.close()

    def _wait_until_ready(self) -> str:
        """Wait until all processes are ready; returns the lines to print, none if a signal to stop comes before."""
        lines = ""
        missing = self._permanent
        while missing and not self._signals.stop:
            connections = [child.messages for child in missing if child.messages is not None]
            readable = wait([*connections, self._signals.wakeup])
            self._forward_reload()
            for child in [child for child in missing if child.messages in readable]:
                kind, text = child.receive() or ("error", f"{child.name} ended before it was ready")
                if kind == "error":
                    raise StartError(text)
                lines = text or lines
                missing.remove(child)
        return "" if self._signals.stop else lines

    def _wait(self) -> None:
        """Wait until there is something to do."""
        children: Iterable[Child] = [*self._faces, *self._engines]
        delays = [max(0.0, child.restart_delay) for child in self._permanent if not child.running]
        if self._next or self._retiring:
            delays.append(INTERVAL)
        sentinels: list[int | Connection] = [child.sentinel for child in children if child.running]
        wait([*sentinels, self._signals.wakeup], min(delays, default=None))

    def _restart(self, child: Child) -> None:
        """If a process has ended, count what it lost; start it again after its pause."""
        if child.running:
            return
        if child.started:
            pid, lost = child.pid, self._count_lost(child)
            message = "%s (pid %d): %s; it is started again, and has lost %d"
            log.error(message, child.name, pid, child.reap(), lost)
        elif child.restart_delay <= 0:
            child.start()

    def _count_lost(self, child: Child) -> int:
        """Count the requests that died with a process as failed; returns their number."""
        return lost_requests.count(self._directory / METRICS, child.pid)

    def _forward_reload(self) -> None:
        """After SIGHUP, have the faces read their files again, and note that the model is to be checked."""
        if self._signals.take_reload():
            self._check_model = True
            for face in self._faces:
                face.signal(signal.SIGHUP)

    def _reload(self) -> None:
        """After SIGHUP, start an engine for the model if its file has changed; while another one starts, that waits."""
        self._forward_reload()
        if not self._check_model or self._next is not None:
            return
        self._check_model = False
        if self._model.changed():
            generation = self._engine.generation.next
            try:
                generation.copy(self._source)
            except (ValueError, OSError) as error:
                log.error("the model stays as it was: %s", error)
            else:
                self._next = _Engine(self._settings, generation)
                self._next.start()

    def _switch_engine(self) -> None:
        """If the engine of the next generation is ready, have the faces use it for new sessions and requests."""
        if self._next is None:
            return
        alive, message = self._next.running, self._next.receive()
        if message and message[0] == "ready":
            self._next.generation.publish()
            if self._engine.started:
                self._engine.signal(signal.SIGUSR1)
                self._retiring.append(self._engine)
            else:  # it has ended, and would have been started again
                self._engine.generation.remove()
            self._engine, self._next = self._next, None
            for face in self._faces:
                face.signal(signal.SIGHUP)
        elif message or not alive:
            log.error("the model stays as it was: %s", message[1] if message else "its engine ended")
            self._stop([self._next], ENGINE_STOP_SECONDS)
            self._next.generation.remove()
            self._next = None

    def _remove_retired(self) -> None:
        """Remove the files of retiring engines that have ended, as no session uses them any more."""
        for engine in [engine for engine in self._retiring if not engine.running]:
            self._count_lost(engine)
            engine.generation.remove()
            self._retiring.remove(engine)

    def _stop(self, children: Iterable[Child], patience: float) -> None:
        """Send processes SIGTERM, and kill those that have not ended after `patience` seconds."""
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
