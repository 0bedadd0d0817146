"""What both servers share: the cores, once they are loaded, the stored state, access, and readiness."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from overtone.gpu_server import errors
from overtone.gpu_server.answer import NeedMore
from overtone.gpu_server.arrival import Arrival, Kind
from overtone.gpu_server.core import Core
from overtone.gpu_server.engine.batcher import Batcher
from overtone.gpu_server.engine.engine import Engine
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.grpc.sessions import OpenSession, Sessions
from overtone.gpu_server.limits.access import Access
from overtone.gpu_server.limits.budget import Budget
from overtone.gpu_server.limits.queue_budgets import QueueBudgets
from overtone.gpu_server.networks.torch_network import open_networks
from overtone.gpu_server.repository.cards import AnyCard, read_any
from overtone.gpu_server.repository.model_folder import ModelId
from overtone.gpu_server.repository.repository import Repository
from overtone.gpu_server.repository.traffic_split import TrafficSplit
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import Store
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.remote_runner import RemoteRunner

log = logging.getLogger(__name__)

# Seconds between looks at whether a model that was replaced is still in use.
RETIRE_INTERVAL = 0.05


class Phase(Enum):
    """Where in its life a server is."""

    LOADING = "the model is still loading"
    READY = "ready"
    LEAVING = "ready, but about to stop"
    DRAINING = "the server is stopping"


class Service:
    """The models, served; as a `face`, it has the network of the only one in the engine's process.

    With `networks`, batches of the only model are run by these, which are on other machines.

    Raises:
        StartError: the file of tokens cannot be used.
    """

    def __init__(
        self, settings: Settings, face: Face | None = None, networks: Sequence[Network] = ()
    ) -> None:
        self.settings = settings
        self.face = face
        self._networks = networks
        self.metrics = Metrics()
        try:
            self.access = Access(settings, self.metrics)
        except ValueError as error:
            raise errors.StartError(f"OVERTONE_TOKENS_FILE {error}") from error
        prefix = "" if face is None else f"{face.number}-"
        self.store = Store(settings.state_bytes, settings.state_ttl, self.metrics, prefix=prefix)
        share, refused = settings.peer_share, self.metrics.refused
        self.body_budget = Budget(settings.body_bytes, share, "unfinished requests", refused("bodies"))
        self._phase = Phase.LOADING
        self._watchers: list[Callable[[], None]] = []
        self.repository = Repository(settings, face, self._load, self._part, self._on_change)
        self._budgets = QueueBudgets(settings, self.metrics)
        self._sessions = Sessions(settings.max_sessions, share, refused("sessions"))
        self._requests: set[Arrival] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._generations = itertools.count()
        self._busy = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests here."""
        return self.phase is Phase.READY and self._failure is None

    @property
    def status(self) -> str:
        """Why the server is ready, or why it is not."""
        return self._failure if self.phase is Phase.READY and self._failure else self.phase.value

    @property
    def phase(self) -> Phase:
        """Where in its life the server is."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        self._notify()

    @property
    def several(self) -> bool:
        """Whether there may be several models."""
        return self.settings.models is not None

    @property
    def shares_ports(self) -> bool:
        """Whether other processes of this machine may serve at the same ports."""
        return self.face is not None or bool(self._networks)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have a function called whenever `ready` may have changed."""
        self._watchers.append(watcher)

    @property
    def core(self) -> Core:
        """The core of the default model.

        Raises:
            Unavailable: as `resolve`.
        """
        return self.resolve().served

    def resolve(self, model: str = "") -> TrafficSplit:
        """What judges images for which NAME or NAME:VERSION was named, or nothing.

        Raises:
            Unavailable: it is not loaded yet, its network fails, or the server is stopping.
            UnknownModel: no such model or version is loaded.
        """
        self._check_open()
        return self.repository.resolve(model)

    def core_of(self, token: str) -> Core:
        """The core that knows the image with this token; if that has gone, another one, which does not know it.

        Raises:
            Unavailable: the server is loading or stopping, or no network works.
        """
        self._check_open()
        return self.repository.generation(self.store.generation(token)) or self.core

    async def load(self) -> None:
        """Load the models and warm them.

        Raises:
            StartError: there is no such model or device.
        """
        await self.repository.load()
        self.phase = Phase.READY

    def _check_open(self) -> None:
        if self.phase in (Phase.LOADING, Phase.DRAINING) or self._failure:
            raise errors.Unavailable(f"{self.status}; try again later or elsewhere", retry_after=1.0)

    def _on_change(self) -> None:
        """Sessions on a core that their model is no longer judged by are to open another one."""
        for session in self._sessions.all():
            if session.core is not None and not self.repository.judges(session.core, session.model):
                session.go_away("another model is served now")
        self._notify()

    def _part(self, core: Core) -> None:
        """Sessions and requests finish on a core, and then it stops."""
        old = [session for session in self._sessions.all() if session.core is core]
        task = asyncio.create_task(self._retire(core, {*old, *self._requests}), name="overtone-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, core: Core, users: set[object]) -> None:
        """Stop a core once these have ended."""
        try:
            while users & {*self._sessions.all(), *self._requests}:
                await asyncio.sleep(RETIRE_INTERVAL)
        finally:
            await core.stop()

    async def _load(self, model: ModelId, path: Path) -> Core:
        """The core of a model, warm.

        Raises:
            StartError: it cannot be served.
        """
        s = self.settings
        engine: Engine | None = None
        try:
            card, engine = await self._engine_of(path)
            await engine.start()
        except (ValueError, RuntimeError) as error:  # torch raises RuntimeError when it runs out of memory
            if engine is not None:
                await engine.stop()
            what = s.model if s.models is None else path
            raise errors.StartError(f"cannot serve {what}: {error}") from error
        generation = next(self._generations)
        return await asyncio.to_thread(Core, card, engine, s, self.metrics, generation, model, self._budgets)

    async def _engine_of(self, path: Path) -> tuple[AnyCard, Engine]:
        """The model's card, and an engine that has not been started."""
        s = self.settings
        if self.face is not None:
            generation = self.face.generation
            runner = RemoteRunner(generation.socket, self.metrics, s, self._notify)
            return await asyncio.to_thread(read_any, generation.model), Engine(runner, self.metrics, s)
        networks: Sequence[Network] = self._networks
        if networks:
            card = await asyncio.to_thread(read_any, path)
        else:
            networks, card = await asyncio.to_thread(open_networks, path, s)
        return card, Engine(Batcher(networks, self.metrics, s, self._notify), self.metrics, s)

    async def drain(self) -> None:
        """Send sessions away and wait for them and for all calls, `settings.drain` seconds at most."""
        self.phase = Phase.DRAINING
        for session in self._sessions.all():
            session.go_away("the server is stopping")
        try:
            async with asyncio.timeout(self.settings.drain):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("still busy after %g s, with %d sessions", self.settings.drain, len(self._sessions))

    async def stop(self) -> None:
        """Stop the engines, once no more requests come in and those that did have had their time."""
        self.phase = Phase.DRAINING
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.repository.stop()

    def admit(self, authorization: str | None, address: str, certificate: str | None = None) -> str:
        """Let a client in, and name it, as `Access.admit` does.

        Raises:
            Unauthenticated: the server has tokens, and this is none of them.
        """
        return self.access.admit(authorization, address, certificate)

    def reload_tokens(self) -> None:
        """Read the file of tokens again; sessions of those that are gone are sent away.

        Raises:
            ValueError: it cannot be used; everything stays as it was.
        """
        self.access.reload()
        for session in self._sessions.all():
            if not self.access.knows(session.owner):
                session.go_away("the token is no longer valid")

    def find(self, key: Hashable, size: int) -> NeedMore:
        """What is known of the image to which further layers of `size` bytes belong; else they are wasted.

        Raises:
            StateLost: there is none.
        """
        try:
            return self.store.get(key)
        except errors.StateLost:
            self.metrics.dropped.inc(size)
            raise

    @contextmanager
    def track_session(self, session: OpenSession) -> Iterator[None]:
        """Count a session as open while inside.

        Raises:
            Overloaded: there are too many, in all or of its owner.
        """
        try:
            self._sessions.add(session)
        except errors.Overloaded:
            self.metrics.shed.labels("session", "full").inc()
            raise
        self._count(+1)
        self.metrics.sessions.inc()
        try:
            yield
        finally:
            self._sessions.remove(session)
            self._count(-1)
            self.metrics.sessions.dec()

    @contextmanager
    def unfinished(self) -> Iterator[None]:
        """Draining waits for this."""
        self._count(+1)
        try:
            yield
        finally:
            self._count(-1)

    def arrive(self, face: str, kind: Kind) -> Arrival:
        """Count what has just come; whoever calls this sees to it that it ends."""
        return Arrival(self.metrics, face, kind)

    @contextmanager
    def track_request(self, face: str, arrival: Arrival | None = None) -> Iterator[None]:
        """Count a request and how it ended. An unexpected exception is logged and becomes a ServiceError.

        `arrival` is that of the request if it has been counted as arrived before; else it is a call that comes now.
        """
        arrival = arrival or self.arrive(face, Kind.CALL)
        self._requests.add(arrival)
        try:
            with self.unfinished(), arrival.ending():
                yield
        finally:
            self._requests.discard(arrival)

    @property
    def _failure(self) -> str | None:
        return None if self.phase is Phase.LOADING else self.repository.failure

    def _notify(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _count(self, change: int) -> None:
        self._busy += change
        if self._busy:
            self._quiet.clear()
        else:
            self._quiet.set()
