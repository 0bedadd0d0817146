"""One server of several processes: faces, which share its ports, one engine, and this one, which keeps them running.

A face has sessions, REST, decoding and the state of unfinished images; the engine forms batches of all faces' images.
Whoever ends unexpectedly is started again. A face takes only its own connections with it.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from overtone.gpu_server import tokens
from overtone.gpu_server.ending import ENDING
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.face import Face
from overtone.gpu_server.processes import run_engine, run_face
from overtone.gpu_server.reload import Watched
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import check_tls, exposure, listeners
from overtone.gpu_server.stub_network import DEVICE as STUB
from overtone.models import choose_device, find

log = logging.getLogger(__name__)

# More faces than this are never chosen, only given.
MOST_FACES = 8
# Seconds until a process that ended at once is started again: twice as many each time, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# A process that has run for so many seconds starts anew with the first pause.
STABLE = 10.0
# Seconds for the engine to end after the faces, before it is killed.
ENGINE_ENDING = 1.0


def worker_count(settings: Settings) -> int:
    """How many faces a server should have.

    Raises:
        StartError: there is no such device.
    """
    if settings.workers:
        return settings.workers
    if settings.devices == (STUB,):
        return 1
    try:
        cuda = choose_device(settings.devices[0]).type == "cuda"
    except ValueError as error:
        raise StartError(f"cannot serve {settings.model}: {error}") from error
    return min(MOST_FACES, max(1, (os.cpu_count() or 1) // 2)) if cuda else 1


@dataclass
class _Child:
    """One process: the function it runs, and when it may be started again."""

    name: str
    target: Callable[..., None]
    arguments: tuple[object, ...]
    process: BaseProcess | None = None
    news: Connection | None = None
    began: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = field(default=0.0)

    def start(self) -> None:
        # Not a fork: threads and gRPC do not survive one.
        context = multiprocessing.get_context("spawn")
        self.news, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=self.target, args=(*self.arguments, theirs), name=self.name)
        # Blocked in the new process until it can handle it; until then it would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        theirs.close()
        self.began = time.monotonic()

    def died(self) -> None:
        """It has ended; plan when it is started again."""
        lived = time.monotonic() - self.began
        self.pause = FIRST_PAUSE if lived > STABLE else min(2 * self.pause, LONGEST_PAUSE)
        self.due = time.monotonic() + self.pause
        self.close()

    def last_words(self) -> str:
        """Why it could not start, if it could not."""
        with contextlib.suppress(EOFError, OSError):
            while self.news is not None and self.news.poll():
                kind, text = self.news.recv()
                if kind == "error":
                    return str(text)
        return ""

    def close(self) -> None:
        if self.news is not None:
            self.news.close()
        self.process, self.news = None, None


class _Told:
    """SIGINT and SIGTERM, as something that can be waited for; a second one ends all processes at once.

    SIGHUP is passed on to all of them.
    """

    def __init__(self, children: list[_Child]) -> None:
        self.stop = False
        self.woken, self._wake = socket.socketpair()
        self._children = children
        for end in (self.woken, self._wake):
            end.setblocking(False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_hangup(self, number: int, frame: object) -> None:
        for child in self._children:
            if child.process is not None and child.process.exitcode is None and child.process.pid is not None:
                os.kill(child.process.pid, number)

    def _on_signal(self, number: int, frame: object) -> None:
        if self.stop:
            for child in self._children:
                if child.process is not None:
                    child.process.kill()
            os._exit(130)
        self.stop = True
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")


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
    if warning := exposure(settings):
        log.warning(warning)
    with tempfile.TemporaryDirectory(prefix="overtone-") as name, _ports(settings) as bound:
        directory = Path(name)
        # Before anything in a child imports prometheus_client, which then counts in files of this folder.
        (directory / "metrics").mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory / "metrics")
        engine = _Child("overtone-engine", run_engine, (bound, directory))
        faces = [
            _Child(f"overtone-face-{n}", run_face, (bound, Face(n, count, directory))) for n in range(count)
        ]
        _supervise(engine, faces, bound, directory)


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


def _supervise(engine: _Child, faces: list[_Child], settings: Settings, directory: Path) -> None:
    children = [engine, *faces]
    told = _Told(children)
    model = Watched([_file_of(settings.model)])
    try:
        for child in children:
            child.start()
        if line := _all_ready(children, told):
            print(line, flush=True)
        while not told.stop:
            if _restart(children, directory, model):
                log.warning("the model's file is another one, so all processes are started again with it")
                _end_all(faces, engine, settings)
                continue
            soonest = min((c.due for c in children if c.process is None), default=None)
            waiting = [c.process.sentinel for c in children if c.process is not None]
            wait([*waiting, told.woken], None if soonest is None else max(0.0, soonest - time.monotonic()))
        _end_all(faces, engine, settings)
    finally:
        _end(children, ENGINE_ENDING)


def _end_all(faces: list[_Child], engine: _Child, settings: Settings) -> None:
    """The faces first, which need the engine for what is in flight."""
    _end(faces, settings.pause + settings.drain + ENDING)
    _end([engine], ENGINE_ENDING)


def _file_of(model: str) -> Path | None:
    try:
        return find(model)
    except ValueError:
        return None


def _all_ready(children: list[_Child], told: _Told) -> str:
    """Wait until all are ready, and return what a face says that it serves; nothing if told to stop before.

    Raises:
        StartError: what a process says why it cannot start.
    """
    line = ""
    missing = {child.news: child for child in children if child.news is not None}
    while missing and not told.stop:
        for end in wait([*missing, told.woken]):
            if not isinstance(end, Connection):
                continue
            try:
                kind, text = end.recv()
            except EOFError:
                raise StartError(f"{missing[end].name} ended before it was ready; its log says why") from None
            if kind == "error":
                raise StartError(text)
            line = text or line
            del missing[end]
    return "" if told.stop else line


def _restart(children: list[_Child], directory: Path, model: Watched) -> bool:
    """Start those again that have ended; True if all have to be instead, or they would not have the same model."""
    for child in children:
        if child.process is not None and not child.process.is_alive():
            why = child.last_words() or child.process.exitcode
            log.error("%s ended with %s and is started again", child.name, why)
            mark_process_dead(child.process.pid, str(directory / "metrics"))  # type: ignore[no-untyped-call]
            child.died()
        if child.process is None and child.due <= time.monotonic():
            if model.changed():
                return True
            child.start()
    return False


def _end(children: list[_Child], patience: float) -> None:
    """Tell processes to stop, and kill those that have not done so in time."""
    running = [child for child in children if child.process is not None]
    for child in running:
        assert child.process is not None
        child.process.terminate()
    limit = time.monotonic() + patience
    for child in running:
        assert child.process is not None
        child.process.join(max(0.0, limit - time.monotonic()))
        if child.process.is_alive():
            log.error("%s did not stop in time and is killed", child.name)
            child.process.kill()
            child.process.join()
        child.close()
