"""What arrives at a server and ends once: an image of a session, a call, a stream.

Every arrival is counted when it comes and, with its outcome, when it ends. So of each kind, whatever happened, as many
have arrived as were answered, refused, given up by their sender or failed, but for those that are in flight.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from overtone.gpu_server import errors
from overtone.gpu_server.telemetry import logs, tracing
from overtone.gpu_server.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What arrives."""

    IMAGE = "image"  # of a session
    CALL = "call"  # one image, or some layers of it, in a call of their own
    STREAM = "stream"  # a session
    DESCRIPTION = "description"  # a request for the model's description


class Outcome(StrEnum):
    """How it ends."""

    ANSWERED = "answered"  # also by a request for more
    REFUSED = "refused"
    DEPARTED = "departed"  # its sender cancelled it or left
    FAILED = "failed"  # by an error of the server


_OUTCOMES = {"OK": Outcome.ANSWERED, "CANCELLED": Outcome.DEPARTED, "INTERNAL": Outcome.FAILED}
OK, CANCELLED, INTERNAL = _OUTCOMES
_REQUESTS = frozenset((Kind.IMAGE, Kind.CALL))


class Arrival:
    """One of them; it counts as arrived from now on."""

    __slots__ = ("_metrics", "began", "code", "face", "kind")

    def __init__(self, metrics: Metrics, face: str, kind: Kind) -> None:
        self.face = face
        self.kind = kind
        self.code = ""
        self.began = time.perf_counter()
        self._metrics = metrics
        metrics.of(metrics.arrived, face, kind).inc()
        metrics.of(metrics.in_flight, face, kind).inc()

    def end(self, code: str) -> None:
        """It has ended with this status code; only the first end counts."""
        if self.code:
            return
        self.code = code
        metrics, face, kind = self._metrics, self.face, self.kind
        seconds = time.perf_counter() - self.began
        metrics.of(metrics.in_flight, face, kind).dec()
        metrics.of(metrics.ended, face, kind, _OUTCOMES.get(code, Outcome.REFUSED), code).inc()
        if kind in _REQUESTS:
            metrics.of(metrics.requests, face, code).inc()
            metrics.of(metrics.request_seconds, face).observe(seconds)
        if logs.access_log.isEnabledFor(logging.INFO) or tracing.wanted():
            self._tell(code, seconds)

    def _tell(self, code: str, seconds: float) -> None:
        """Tell the access log and OpenTelemetry."""
        info = logs.current() or logs.RequestInfo("-")
        logs.note_end(info, self.face, self.kind, code, seconds)
        if self.face == "grpc":
            fields = {"overtone.request": info.id, "overtone.owner": info.owner, "overtone.code": code}
            tracing.note_end(self.kind, info.parent, seconds, fields, failed=code == INTERNAL)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End it on leaving. An unexpected exception is logged and becomes a ServiceError."""
        code = INTERNAL
        try:
            yield
            code = OK
        except errors.ServiceError as error:
            code = error.code.name
            raise
        except asyncio.CancelledError:
            code = CANCELLED
            raise
        except Exception as error:
            log.exception("a request failed")
            raise errors.ServiceError("something went wrong in the server; it has been logged") from error
        finally:
            self.end(code)
