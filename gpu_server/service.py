"""What both faces share: the core once it is loaded, the kept state, who may come in, and when to go."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from overtone.gpu_server.core import Core
from overtone.gpu_server.engine import Engine, Network
from overtone.gpu_server.errors import (
    ClientDisconnected,
    Overloaded,
    ServiceError,
    StartError,
    StateLost,
    Unauthenticated,
    Unavailable,
)
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.network import open_network
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import Budget, PendingImage, Store

log = logging.getLogger(__name__)


class Phase(Enum):
    """Where in its life a server is."""

    LOADING = "the model is still loading"
    READY = "ready"
    LEAVING = "ready, but about to stop"
    DRAINING = "the server is stopping"


class Drainable(Protocol):
    """An open session, as far as stopping it goes."""

    def go_away(self, reason: str) -> None:
        """Finish what is in flight, take nothing new."""


class Service:
    """One model, served.

    Args:
        settings: everything that can be chosen.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store(settings.state_bytes, settings.state_ttl, self.metrics)
        self.body_budget = Budget(settings.body_bytes)
        self.phase = Phase.LOADING
        self._core: Core | None = None
        self._engine: Engine | None = None
        self._sessions: set[Drainable] = set()
        self._busy = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send anything here."""
        return self.phase is Phase.READY

    @property
    def core(self) -> Core:
        """The core.

        Raises:
            Unavailable: not loaded yet, or draining.
        """
        if self._core is None or self.phase in (Phase.LOADING, Phase.DRAINING):
            raise Unavailable(f"{self.phase.value}; try again", retry_after=1.0)
        return self._core

    async def load(self) -> None:
        """Load the model and warm it.

        Raises:
            StartError: there is no such model or device.
        """
        s = self.settings
        try:
            network, card = await asyncio.to_thread(
                open_network, s.model, s.device, s.batch_sizes, s.threads, s.cuda_graphs
            )
            self._engine = self._make_engine(network)
            await self._engine.start()
        except (ValueError, RuntimeError) as error:  # torch says RuntimeError when memory runs out
            raise StartError(f"cannot serve {s.model}: {error}") from error
        self._core = Core(card, self._engine, s, self.metrics)
        self.phase = Phase.READY

    async def drain(self) -> None:
        """Send sessions away and wait for them and for all calls, at most `settings.drain`."""
        self.phase = Phase.DRAINING
        for session in list(self._sessions):
            session.go_away("the server is stopping")
        try:
            async with asyncio.timeout(self.settings.drain):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("still busy after %g s, with %d sessions", self.settings.drain, len(self._sessions))

    async def stop(self) -> None:
        """Stop the engine, once nothing comes in any more."""
        self.phase = Phase.DRAINING
        if self._engine is not None:
            await self._engine.stop(self.settings.drain)

    def admit(self, authorization: str | None, peer: str) -> str:
        """Who asks: a name for what is theirs, from their token or, on an open server, their address.

        Raises:
            Unauthenticated: the server has tokens and this is none of them.
        """
        if not self.settings.tokens:
            return f"peer {peer}"
        scheme, _, given = (authorization or "").partition(" ")
        known = [hmac.compare_digest(given.strip().encode(), t.encode()) for t in self.settings.tokens]
        if scheme.lower() != "bearer" or not any(known):
            raise Unauthenticated("send a known token as 'authorization: Bearer TOKEN'")
        return "token " + hashlib.sha256(given.strip().encode()).hexdigest()

    def find(self, key: Hashable, size: int) -> PendingImage:
        """What is kept for a high payload of `size` bytes; where nothing is, they came for nothing.

        Raises:
            StateLost: nothing is.
        """
        try:
            return self.store.get(key)
        except StateLost:
            self.metrics.dropped.inc(size)
            raise

    @contextmanager
    def track_session(self, session: Drainable) -> Iterator[None]:
        """A session is open for as long as this is entered.

        Raises:
            Overloaded: there are too many.
        """
        if len(self._sessions) >= self.settings.max_sessions:
            self.metrics.shed.labels("session", "full").inc()
            raise Overloaded("too many sessions; try another server or later", retry_after=5.0)
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
        """Count one request and how it ended; what is not of the family is logged and becomes it."""
        began, code = time.perf_counter(), "OK"
        self._count(+1)
        try:
            yield
        except ServiceError as error:
            code = error.code.name
            raise
        except asyncio.CancelledError:
            code = ClientDisconnected.code.name
            raise
        except Exception as error:
            code = ServiceError.code.name
            log.exception("a request failed")
            raise ServiceError("something went wrong here; it has been logged") from error
        finally:
            self._count(-1)
            self.metrics.requests.labels(face, code).inc()
            self.metrics.request_seconds.labels(face).observe(time.perf_counter() - began)

    def _make_engine(self, network: Network) -> Engine:
        s = self.settings
        return Engine(
            network,
            self.metrics,
            low_queue=s.low_queue,
            high_queue=s.high_queue,
            decoders=s.decoders,
            max_wait=s.max_wait_ms / 1000,
            brownout=s.brownout,
        )

    def _count(self, change: int) -> None:
        self._busy += change
        if self._busy:
            self._quiet.clear()
        else:
            self._quiet.set()
