"""The state that the gRPC and HTTP servers share: models, stored images, access, open sessions, and readiness."""

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
from overtone.gpu_server.repository.model_folder import ModelId
from overtone.gpu_server.repository.repository import Repository
from overtone.gpu_server.repository.traffic_split import TrafficSplit
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import Store
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.remote_runner import RemoteRunner
from overtone.models.any_card import AnyCard, read_any_card

log = logging.getLogger(__name__)

# Seconds between two checks whether a model that was replaced is still in use.
RETIRE_INTERVAL = 0.05


class Phase(Enum):
    """The phases of a server's life; a value is the status text of `/readyz`."""

    LOADING = "the model is still loading"
    READY = "ready"
    LEAVING = "ready, but about to stop"
    DRAINING = "the server is stopping"


class Service:
    """The models and everything that requests to them share.

    Args:
        settings: of the server.
        face: which of several processes this is: its only model then runs in the engine's process. None if it is the
            only one.
        networks: run the batches of the only model in place of networks in this process; those of a cluster's engines.

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
        self.repository = Repository(settings, face, self._load, self._retire_later, self._on_change)
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
        """A text that says why the server is ready or not."""
        return self._failure if self.phase is Phase.READY and self._failure else self.phase.value

    @property
    def phase(self) -> Phase:
        """The phase of the server; setting it calls the watchers."""
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
        """Whether other processes of this machine may listen on the same ports."""
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
        """The traffic split for NAME or NAME:VERSION, or of the default model.

        Raises:
            Unavailable: it is not loaded yet, its network fails, or the server is stopping.
            UnknownModel: no such model or version is loaded.
        """
        self._check_open()
        return self.repository.resolve(model)

    def core_of(self, token: str) -> Core:
        """The core that issued an image's token; if it is unloaded, that of the default model, which lacks the image.

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
        """Send away the sessions whose core is no longer in the traffic split of their model."""
        for session in self._sessions.all():
            if session.core is not None and not self.repository.judges(session.core, session.model):
                session.go_away("another model is served now")
        self._notify()

    def _retire_later(self, core: Core) -> None:
        """Stop a core once the sessions on it and all requests in progress have ended."""
        old = [session for session in self._sessions.all() if session.core is core]
        task = asyncio.create_task(self._retire(core, {*old, *self._requests}), name="overtone-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, core: Core, users: set[object]) -> None:
        """Stop a core once these sessions and requests have ended."""
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
        settings = self.settings
        engine: Engine | None = None
        try:
            card, engine = await self._engine_of(path)
            await engine.start()
        except (ValueError, RuntimeError) as error:  # torch raises RuntimeError when it runs out of memory
            if engine is not None:
                await engine.stop()
            what = settings.model if settings.models is None else path
            raise errors.StartError(f"cannot serve {what}: {error}") from error
        generation = next(self._generations)
        return await asyncio.to_thread(
            Core, card, engine, settings, self.metrics, generation, model, self._budgets
        )

    async def _engine_of(self, path: Path) -> tuple[AnyCard, Engine]:
        """The model's card, and an engine that has not been started."""
        s = self.settings
        if self.face is not None:
            generation = self.face.generation
            runner = RemoteRunner(generation.socket, self.metrics, s, self._notify)
            return await asyncio.to_thread(read_any_card, generation.model), Engine(runner, self.metrics, s)
        networks: Sequence[Network] = self._networks
        if networks:
            card = await asyncio.to_thread(read_any_card, path)
        else:
            networks, card = await asyncio.to_thread(open_networks, path, s)
        return card, Engine(Batcher(networks, self.metrics, s, self._notify), self.metrics, s)

    async def drain(self) -> None:
        """Send sessions away, and wait up to `settings.drain` seconds for them and for all calls."""
        self.phase = Phase.DRAINING
        for session in self._sessions.all():
            session.go_away("the server is stopping")
        try:
            async with asyncio.timeout(self.settings.drain):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("still busy after %g s, with %d sessions", self.settings.drain, len(self._sessions))

    async def stop(self) -> None:
        """Stop the engines; requests that are still in progress fail."""
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
        """The stored image to which further layers of `size` bytes belong; if it is lost, they count as dropped.

        Raises:
            StateLost: the image is not stored, or no longer.
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
            Overloaded: there are too many sessions, in all or of its owner.
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
        """Have `drain` wait for the code inside."""
        self._count(+1)
        try:
            yield
        finally:
            self._count(-1)

    def arrive(self, face: str, kind: Kind) -> Arrival:
        """Count a request that has just arrived; the caller must end it."""
        return Arrival(self.metrics, face, kind)

    @contextmanager
    def track_request(self, face: str, arrival: Arrival | None = None) -> Iterator[None]:
        """Count a request and how it ends; an unexpected exception is logged and becomes a ServiceError.

        Args:
            face: the transport, "grpc" or "rest".
            arrival: of the request, if it has been counted as arrived; None for a call that arrives now.
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
