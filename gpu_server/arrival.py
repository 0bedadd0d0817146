"""Accounting of requests: images of sessions, calls and streams, counted when they arrive and when they end.

Each ends once, with one outcome. So of each kind the number that has arrived is always the sum of those in flight and
of those that were answered, refused, abandoned by their sender, or failed. The access log and traces get the same ends.
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
    """What has arrived, as the label `kind` of metrics."""

    IMAGE = "image"  # of a session
    CALL = "call"  # one image, or some layers of it, in a call of their own
    STREAM = "stream"  # a session
    DESCRIPTION = "description"  # a request for the model's description


class Outcome(StrEnum):
    """How a request has ended, as the label `outcome` of metrics."""

    ANSWERED = "answered"  # also by a request for more
    REFUSED = "refused"
    DEPARTED = "departed"  # its sender cancelled it or left
    FAILED = "failed"  # by an error of the server


_OUTCOMES = {"OK": Outcome.ANSWERED, "CANCELLED": Outcome.DEPARTED, "INTERNAL": Outcome.FAILED}
OK, CANCELLED, INTERNAL = _OUTCOMES
_REQUESTS = frozenset((Kind.IMAGE, Kind.CALL))


class Arrival:
    """One request; it counts as arrived when this object is made.

    Attributes:
        face: the transport over which it came, "grpc" or "rest", as the label of that name.
        kind: what it is.
        code: the name of the status code with which it ended; empty until then.
        began: when it arrived, as `time.perf_counter` counts.
    """

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
        """Count its end with this gRPC status code, by name; only the first end counts."""
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
            self._log_and_trace(code, seconds)

    def _log_and_trace(self, code: str, seconds: float) -> None:
        info = logs.current() or logs.RequestInfo("-")
        logs.note_end(info, self.face, self.kind, code, seconds)
        if self.face == "grpc":
            fields = {"overtone.request": info.id, "overtone.owner": info.owner, "overtone.code": code}
            tracing.note_end(self.kind, info.parent, seconds, fields, failed=code == INTERNAL)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End the request on leaving; an unexpected exception is logged and becomes a ServiceError."""
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
