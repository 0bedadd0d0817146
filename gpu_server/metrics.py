"""Metrics for Prometheus; every server has its own registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one server, as attributes."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        ProcessCollector(registry=r)
        self.requests = Counter(
            "overtone_requests",
            "Images and calls that have ended, by status code.",
            ["face", "code"],
            registry=r,
        )
        self.answers = Counter("overtone_answers", "Answers given.", ["stage"], registry=r)
        self.escalations = Counter(
            "overtone_escalations", "Images for which low was not sure enough.", registry=r
        )
        self.received = Counter(
            "overtone_received_bytes",
            "Payload bytes received, by band, without the dropped ones; for images that came whole, all their bytes.",
            ["band"],
            registry=r,
        )
        self.dropped = Counter(
            "overtone_dropped_bytes",
            "High payload bytes that came and were not used for an answer.",
            registry=r,
        )
        self.request_seconds = Histogram(
            "overtone_request_seconds",
            "From the arrival of a request to its end.",
            ["face"],
            buckets=SECONDS,
            registry=r,
        )
        self.queue_seconds = Histogram(
            "overtone_queue_seconds",
            "From admission to the start of the batch.",
            ["stage"],
            buckets=SECONDS,
            registry=r,
        )
        self.compute_seconds = Histogram(
            "overtone_compute_seconds",
            "Time of one batch in the network.",
            ["stage"],
            buckets=SECONDS,
            registry=r,
        )
        self.batch_size = Histogram(
            "overtone_batch_size", "Images in a batch.", ["stage"], buckets=SIZES, registry=r
        )
        self.queue_depth = Gauge("overtone_queue_depth", "Images that wait.", ["stage"], registry=r)
        self.shed = Counter("overtone_shed", "Images refused or dropped.", ["stage", "reason"], registry=r)
        self.state_hits = Counter(
            "overtone_state_hits", "Low payloads that were still kept when high came.", registry=r
        )
        self.state_misses = Counter(
            "overtone_state_misses", "Low payloads that were no longer kept when high came.", registry=r
        )
        self.state_evictions = Counter(
            "overtone_state_evictions",
            "Low payloads dropped because of the limits on bytes and time.",
            registry=r,
        )
        self.sessions = Gauge("overtone_sessions", "Open sessions.", registry=r)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
