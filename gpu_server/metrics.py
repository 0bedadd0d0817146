"""Counters and histograms for Prometheus; every server has its own registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All of a server's metrics, as attributes."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        self.requests = Counter(
            "overtone_requests", "Images and calls that ended.", ["face", "code"], registry=r
        )
        self.answers = Counter("overtone_answers", "Answers given.", ["stage"], registry=r)
        self.escalations = Counter("overtone_escalations", "Images for which low was not enough.", registry=r)
        self.received = Counter(
            "overtone_received_bytes",
            "Payload bytes received, by band, but for the dropped ones; pictures whole.",
            ["band"],
            registry=r,
        )
        self.dropped = Counter(
            "overtone_dropped_bytes", "High payload bytes received that no answer needed.", registry=r
        )
        self.request_seconds = Histogram(
            "overtone_request_seconds", "From arrival to the end.", ["face"], buckets=SECONDS, registry=r
        )
        self.queue_seconds = Histogram(
            "overtone_queue_seconds", "From admission to the network.", ["stage"], buckets=SECONDS, registry=r
        )
        self.compute_seconds = Histogram(
            "overtone_compute_seconds", "One batch in the network.", ["stage"], buckets=SECONDS, registry=r
        )
        self.batch_size = Histogram(
            "overtone_batch_size", "Images in a batch.", ["stage"], buckets=SIZES, registry=r
        )
        self.queue_depth = Gauge("overtone_queue_depth", "Images waiting.", ["stage"], registry=r)
        self.shed = Counter("overtone_shed", "Images refused or dropped.", ["stage", "reason"], registry=r)
        self.state_hits = Counter("overtone_state_hits", "Low payloads found again.", registry=r)
        self.state_misses = Counter("overtone_state_misses", "Low payloads lost.", registry=r)
        self.state_evictions = Counter(
            "overtone_state_evictions", "Low payloads dropped to stay in bounds.", registry=r
        )
        self.sessions = Gauge("overtone_sessions", "Open sessions.", registry=r)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
