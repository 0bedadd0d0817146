"""Spans of OpenTelemetry for gRPC, where it is installed and somebody has set up where they go.

That is what `opentelemetry-instrument` does. FastAPI makes the spans of HTTP requests.
"""

import time
from collections.abc import Mapping
from typing import Any

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError:
    trace = None  # type: ignore[assignment]


def parent_of(headers: Mapping[str, str]) -> Any:
    """The span of the client that a request's `traceparent` names, as a context; None if nobody wants spans."""
    return TraceContextTextMapPropagator().extract(headers) if wanted() else None


def note_end(name: str, parent: Any, seconds: float, attributes: Mapping[str, str], failed: bool) -> None:
    """A span that ends now and began so many seconds ago."""
    if not wanted():
        return
    end = time.time_ns()
    tracer = trace.get_tracer("overtone")
    span = tracer.start_span(
        name,
        context=parent,
        kind=trace.SpanKind.SERVER,
        attributes=dict(attributes),
        start_time=end - round(1e9 * seconds),
    )
    if failed:
        span.set_status(trace.StatusCode.ERROR)
    span.end(end)


def wanted() -> bool:
    """Whether spans go anywhere."""
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
