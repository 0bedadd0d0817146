"""OpenTelemetry spans of gRPC calls, where it is installed and a tracer provider is set.

`opentelemetry-instrument` sets one. The spans of HTTP requests are made by its instrumentation of FastAPI.
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
    """The client's span as a context, by the header `traceparent`; None if spans are not exported."""
    return TraceContextTextMapPropagator().extract(headers) if wanted() else None


def note_end(name: str, parent: Any, seconds: float, attributes: Mapping[str, str], failed: bool) -> None:
    """Record a span that ends now and began so many seconds ago."""
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
    """Whether a tracer provider is set, so that spans are exported."""
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
