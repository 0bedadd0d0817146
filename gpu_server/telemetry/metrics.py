"""Metrics for Prometheus; every server has its own registry."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from overtone.gpu_server.telemetry import shared_metrics

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one server, as attributes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._depths: dict[str, list[Callable[[], int]]] = defaultdict(list)
        ProcessCollector(registry=self.registry)
        self._of: dict[tuple[object, ...], Any] = {}
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.requests = counter(
            "requests", "Images and calls that have ended, by status code.", "face", "code"
        )
        # What arrives is one of arrival.Kind. Of each kind, arrived = in flight + the sum of all ends.
        self.arrived = counter("arrived", "Images, calls and streams that have come.", "face", "kind")
        self.ended = counter("ended", "Those that have ended, and how.", "face", "kind", "outcome", "code")
        self.in_flight = gauge("in_flight", "Those that have not ended yet.", "face", "kind")
        self.answers = counter("answers", "Answers given.", "stage")
        self.escalations = counter(
            "escalations",
            "Judgements that were not sure enough, by the layer up to which more was wanted.",
            "layer",
        )
        self.received = counter(
            "received_bytes",
            "Payload bytes received, by layer, without the dropped ones; of pictures that came whole all bytes.",
            "layer",
        )
        # By model and version, and whether it was for a device; the sums over what was are those above.
        model = "model", "version", "role"
        self.model_answers = counter("model_answers", "Images judged to the end.", *model)
        self.model_escalations = counter(
            "model_escalations", "Judgements that were not sure enough, as above.", *model, "layer"
        )
        self.model_bytes = counter(
            "model_bytes", "Bytes of the layers and pictures that were judged.", *model
        )
        self.shadowed = counter(
            "shadow",
            "Images that a shadow got: agreed with the answer or disagreed, were dropped for others, or failed.",
            "model",
            "version",
            "outcome",
        )
        self.dropped = counter(
            "dropped_bytes", "Payload bytes of further layers that came and were not used for an answer."
        )
        self.request_seconds = histogram(
            "request_seconds", "From the arrival of a request to its end.", "face"
        )
        self.queue_seconds = histogram("queue_seconds", "From admission to the start of the batch.", "stage")
        self.compute_seconds = histogram("compute_seconds", "Time of one batch in the network.", "stage")
        self.batch_size = histogram("batch_size", "Images in a batch.", "stage", SIZES)
        self.queue_depth = gauge("queue_depth", "Images that wait.", "stage")
        self.shed = counter("shed", "Images refused or dropped.", "stage", "reason")
        self.state_hits = counter("state_hits", "Images still known when further layers came.")
        self.state_misses = counter("state_misses", "Images no longer known when further layers came.")
        self.state_evictions = counter(
            "state_evictions", "Images forgotten because of the limits on bytes and time."
        )
        self.sessions = gauge("sessions", "Open sessions.")
        self.limited = counter(
            "limited",
            "What was refused or cut, by limit, and whether it was that of one peer or of all.",
            "limit",
            "scope",
        )

    def refused(self, limit: str) -> Callable[[str], None]:
        """A function that counts a refusal by this limit; its argument is `ALL` or `PEER`."""
        return lambda scope: self.limited.labels(limit, scope).inc()

    def of(self, metric: Metric, *labels: str) -> Metric:
        """`metric.labels(*labels)` from a cache, which is ten times as fast; for labels with few values."""
        key = (metric, *labels)
        if key not in self._of:
            self._of[key] = metric.labels(*labels)
        found: Metric = self._of[key]
        return found

    def watch_depth(self, stage: str, depth: Callable[[], int]) -> None:
        """Add a function that returns how many images wait for a stage in one of the engines."""
        depths = self._depths[stage]
        depths.append(depth)
        if shared_metrics.folder() is None:
            self.queue_depth.labels(stage).set_function(lambda: sum(each() for each in depths))

    def forget_depth(self, stage: str, depth: Callable[[], int]) -> None:
        """Remove a function that was added by `watch_depth`, if it was."""
        if depth in self._depths[stage]:
            self._depths[stage].remove(depth)

    def sample(self) -> None:
        """Set the gauges of queue depths; with several processes, gauges cannot call functions when they are read."""
        for stage, depths in self._depths.items():
            self.queue_depth.labels(stage).set(sum(each() for each in depths))

    def text(self) -> bytes:
        """All metrics of the server in the text format of Prometheus."""
        folder = shared_metrics.folder()
        return generate_latest(self.registry) if folder is None else shared_metrics.text(folder)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"overtone_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"overtone_{name}", meaning, labels, registry=self.registry, multiprocess_mode="livesum")

    def _histogram(
        self, name: str, meaning: str, label: str, buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        return Histogram(f"overtone_{name}", meaning, (label,), buckets=buckets, registry=self.registry)
