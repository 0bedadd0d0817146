"""What both servers share: the core, once it is loaded, the stored state, access, and readiness."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from overtone.gpu_server import errors
from overtone.gpu_server.answer import NeedMore
from overtone.gpu_server.budget import Budget
from overtone.gpu_server.core import Core
from overtone.gpu_server.engine import Engine
from overtone.gpu_server.face import Face
from overtone.gpu_server.metrics import Children, Metrics
from overtone.gpu_server.network import open_network
from overtone.gpu_server.remote import RemoteRunner
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import Store
from overtone.models import read_card

log = logging.getLogger(__name__)


class Phase(Enum):
    """Where in its life a server is."""

    LOADING = "the model is still loading"
    READY = "ready"
    LEAVING = "ready, but about to stop"
    DRAINING = "the server is stopping"


class Drainable(Protocol):
    """An open session, as far as stopping the server is concerned."""

    def go_away(self, reason: str) -> None:
        """Finish what is in flight and accept nothing new."""


class Service:
    """One model, served; as a `face`, it has its network in the engine's process."""

    def __init__(self, settings: Settings, face: Face | None = None) -> None:
        self.settings = settings
        self.face = face
        self.metrics = Metrics()
        prefix = "" if face is None else f"{face.number}-"
        self.store = Store(settings.state_bytes, settings.state_ttl, self.metrics, prefix=prefix)
        self._requests = Children(self.metrics.requests)
        self._request_seconds = Children(self.metrics.request_seconds)
        self.body_budget = Budget(settings.body_bytes)
        self._phase = Phase.LOADING
        self._watchers: list[Callable[[], None]] = []
        self._core: Core | None = None
        self._engine: Engine | None = None
        self._sessions: set[Drainable] = set()
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

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have a function called whenever `ready` may have changed."""
        self._watchers.append(watcher)

    @property
    def core(self) -> Core:
        """The core.

        Raises:
            Unavailable: it is not loaded yet, its network fails, or the server is stopping.
        """
        if self._core is None or self.phase in (Phase.LOADING, Phase.DRAINING) or self._failure:
            raise errors.Unavailable(f"{self.status}; try again later or elsewhere", retry_after=1.0)
        return self._core

    async def load(self) -> None:
        """Load the model and warm it.

        Raises:
            StartError: there is no such model or device.
        """
        s = self.settings
        try:
            if self.face is not None:
                card = await asyncio.to_thread(read_card, s.model)
                runner = RemoteRunner(self.face.engine, self.metrics, s, self._notify)
                self._engine = Engine((), self.metrics, s, runner=runner)
            else:
                opened = [
                    await asyncio.to_thread(
                        open_network, s.model, device, s.batch_sizes, s.threads, s.cuda_graphs
                    )
                    for device in s.devices
                ]
                networks, card = [network for network, _ in opened], opened[0][1]
                self._engine = Engine(networks, self.metrics, s, on_health=self._notify)
            await self._engine.start()
        except (ValueError, RuntimeError) as error:  # torch raises RuntimeError when it runs out of memory
            raise errors.StartError(f"cannot serve {s.model}: {error}") from error
        self._core = await asyncio.to_thread(Core, card, self._engine, s, self.metrics)
        self.phase = Phase.READY

    async def drain(self) -> None:
        """Send sessions away and wait for them and for all calls, `settings.drain` seconds at most."""
        self.phase = Phase.DRAINING
        for session in list(self._sessions):
            session.go_away("the server is stopping")
        try:
            async with asyncio.timeout(self.settings.drain):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("still busy after %g s, with %d sessions", self.settings.drain, len(self._sessions))

    async def stop(self) -> None:
        """Stop the engine, once no more requests come in."""
        self.phase = Phase.DRAINING
        if self._engine is not None:
            await self._engine.stop(self.settings.drain)

    def admit(self, authorization: str | None, address: str) -> str:
        """Let a client in, and name it: by its token, or on an open server by its address.

        Raises:
            Unauthenticated: the server has tokens, and this is none of them.
        """
        if not self.settings.tokens:
            return f"peer {address}"
        scheme, _, given = (authorization or "").partition(" ")
        known = [hmac.compare_digest(given.strip().encode(), t.encode()) for t in self.settings.tokens]
        if scheme.lower() != "bearer" or not any(known):
            raise errors.Unauthenticated("send a known token as 'authorization: Bearer TOKEN'")
        return "token " + hashlib.sha256(given.strip().encode()).hexdigest()

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
    def track_session(self, session: Drainable) -> Iterator[None]:
        """Count a session as open while inside.

        Raises:
            Overloaded: there are too many.
        """
        if len(self._sessions) >= self.settings.max_sessions:
            self.metrics.shed.labels("session", "full").inc()
            raise errors.Overloaded("too many sessions; try another server or later", retry_after=5.0)
        self._sessions.add(session)
        self._count(+1)
        self.metrics.sessions.inc()
        try:
            yield
        finally:
            self._sessions.discard(session)
            self._count(-1)
            self.metrics.sessions.dec()

    @contextmanager
    def track_request(self, face: str) -> Iterator[None]:
        """Count a request and how it ended. An unexpected exception is logged and becomes a ServiceError."""
        began, code = time.perf_counter(), "OK"
        self._count(+1)
        try:
            yield
        except errors.ServiceError as error:
            code = error.code.name
            raise
        except asyncio.CancelledError:
            code = errors.ClientDisconnected.code.name
            raise
        except Exception as error:
            code = errors.ServiceError.code.name
            log.exception("a request failed")
            raise errors.ServiceError("something went wrong in the server; it has been logged") from error
        finally:
            self._count(-1)
            self._requests[face, code].inc()
            self._request_seconds[face,].observe(time.perf_counter() - began)

    @property
    def _failure(self) -> str | None:
        return None if self._engine is None else self._engine.failure

    def _notify(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _count(self, change: int) -> None:
        self._busy += change
        if self._busy:
            self._quiet.clear()
        else:
            self._quiet.set()
