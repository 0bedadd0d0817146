"""Locust's statistics of a load test, with entries of Overtone's own, and their summary.

Locust knows requests, times and sizes. Everything else gets entries of its own in the same table, and thus on
the web page, in the CSV files and in the HTML report, also from workers to their master:

- type `bytes`: `payload`, `layer 1`, `layer 2`, ..., `link up`, `link down`. A "request" is an image of which such
  bytes were sent, its "time" is bytes.
- type `answered`: `after layer 1`, ...: answers made of so many layers.
- type `judged`, one row per stage: answers whose truth is known; failures are the wrong ones.

They are left out of locust's totals, which would add them to milliseconds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overtone.benchmarks.load.prepared import Sample

BYTES, ANSWERED, JUDGED, FAILED = "bytes", "answered", "judged", "failed"
STAGES = ("low", "high", "brownout")


class Statistics:
    """Adds the images of a user of kind `kind` to locust's statistics."""

    def __init__(self, environment: Any, kind: str) -> None:
        self._environment = environment
        self._kind = kind

    def add(self, sample: Sample) -> None:
        """An answered image."""
        self._fire(sample.stage, sample.latency_ms, sample.payload, None)
        sizes = {"payload": sample.payload, "link up": sample.up, "link down": sample.down}
        sizes |= {f"layer {number}": size for number, size in enumerate(sample.by_layer, 1) if size}
        for name, size in sizes.items():
            self._entry(name, BYTES).log(size, size)
        if sample.layers:
            self._entry(f"after layer {sample.layers}", ANSWERED).log(sample.latency_ms, sample.payload)
        if sample.correct is not None:
            entry = self._entry(sample.stage, JUDGED)
            entry.log(sample.latency_ms, sample.payload)
            if not sample.correct:
                entry.log_error(None)

    def fail(self, error: Exception) -> None:
        """An image without an answer."""
        self._fire(FAILED, 0.0, 0, error)

    def _entry(self, name: str, kind: str) -> Any:
        return self._environment.stats.get(name, kind)

    def _fire(self, name: str, milliseconds: float, size: int, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type=self._kind,
            name=name,
            response_time=milliseconds,
            response_length=size,
            exception=error,
            context={},
        )


@dataclass(frozen=True)
class Figures:
    """The summary of a load test: means and shares, None where nothing was counted.

    `answered_after` is the share of answers made of 1, 2, ... layers, among those made of layers; `sent_layer` is the
    share of these images of which layer 1, 2, ... was sent, at least in part.
    """

    images: int
    failed: int
    labelled: int
    accuracy: float | None
    answered_after: dict[int, float]
    sent_layer: dict[int, float]
    mean_payload_bytes: float | None
    mean_link_bytes_up: float | None
    mean_link_bytes_down: float | None


def summary(stats: Any) -> Figures:
    """The summary of a `locust.stats.RequestStats`."""
    entries = dict(stats.entries)
    requests = {key: entry for key, entry in entries.items() if key[1] not in (BYTES, ANSWERED, JUDGED)}
    answered = {
        stage: sum(entry.num_requests for (name, _), entry in requests.items() if name == stage)
        for stage in STAGES
    }
    images = sum(answered.values())
    judged = [entry for (_, kind), entry in entries.items() if kind == JUDGED]
    labelled, wrong = sum(e.num_requests for e in judged), sum(e.num_failures for e in judged)

    def mean(name: str) -> float | None:
        entry = entries.get((name, BYTES))
        return entry.total_content_length / entry.num_requests if entry and entry.num_requests else None

    answered_after = _numbered(entries, "after layer ", ANSWERED)
    layered = sum(answered_after.values())
    return Figures(
        images=images,
        failed=sum(entry.num_failures for (name, _), entry in requests.items() if name == FAILED),
        labelled=labelled,
        accuracy=1 - wrong / labelled if labelled else None,
        answered_after={number: count / layered for number, count in answered_after.items()},
        sent_layer={number: n / layered for number, n in _numbered(entries, "layer ", BYTES).items()},
        mean_payload_bytes=mean("payload"),
        mean_link_bytes_up=mean("link up"),
        mean_link_bytes_down=mean("link down"),
    )


def _numbered(entries: Mapping[tuple[str, str], Any], name: str, kind: str) -> dict[int, int]:
    """Counts of the entries named `name` and a number, by number."""
    found = {
        int(each.removeprefix(name)): entry.num_requests
        for (each, of), entry in entries.items()
        if of == kind and each.startswith(name)
    }
    return dict(sorted(found.items()))


def lines(figures: Figures) -> list[tuple[str, str]]:
    """Name and value of every known figure, for people."""
    return [
        (name.replace("_", " "), shown)
        for name, value in asdict(figures).items()
        if (shown := _shown(name, value)) is not None
    ]


def _shown(name: str, value: Any) -> str | None:
    if isinstance(value, dict):
        word = "layer " if name == "answered_after" else ""
        return (
            ", ".join(f"{word}{n}: {share:.1%}" for n, share in value.items()).replace(", layer ", ", ")
            or None
        )
    if value is None:
        return None
    return f"{value:.1%}" if name == "accuracy" else f"{value:,.0f}"
