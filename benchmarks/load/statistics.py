"""Locust's statistics of a load on Overtone, and what they come to.

Locust knows requests, times and sizes. What it does not know gets entries of its own in the same table, and
so on the web page, in the CSV files and in the HTML report, from workers to their master too:

- type `bytes`: `payload`, `high`, `link up`, `link down`. A "request" is a picture, its "time" bytes.
- type `judged`, a row a stage: answers whose truth is known; its failures are the wrong ones.

They stay out of locust's totals, where they would be added to milliseconds.
"""

from dataclasses import asdict, dataclass
from typing import Any

from overtone.benchmarks.load.ready import Shot

BYTES, JUDGED, FAILED = "bytes", "judged", "failed"
STAGES = ("low", "high", "brownout")


class Statistics:
    """Where a user of kind `kind` puts its pictures."""

    def __init__(self, environment: Any, kind: str) -> None:
        self._environment = environment
        self._kind = kind

    def add(self, shot: Shot) -> None:
        """An answered picture."""
        self._fire(shot.stage, shot.latency_ms, shot.payload, None)
        counts = {"payload": shot.payload, "link up": shot.up, "link down": shot.down}
        for name, size in counts.items():
            self._entry(name, BYTES).log(size, size)
        if shot.high:
            self._entry("high", BYTES).log(shot.high, shot.high)
        if shot.right is not None:
            entry = self._entry(shot.stage, JUDGED)
            entry.log(shot.latency_ms, shot.payload)
            if not shot.right:
                entry.log_error(None)

    def fail(self, error: Exception) -> None:
        """A picture without an answer."""
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
    """A load in numbers: means and shares, None where nothing was counted."""

    pictures: int
    failed: int
    labelled: int
    accuracy: float | None
    answered_low: float | None
    sent_high: float | None
    mean_payload_bytes: float | None
    mean_link_bytes_up: float | None
    mean_link_bytes_down: float | None


def summary(stats: Any) -> Figures:
    """What the entries of a `locust.stats.RequestStats` come to."""
    entries = dict(stats.entries)
    answered = {
        stage: sum(e.num_requests for (name, kind), e in entries.items() if name == stage and _is_kind(kind))
        for stage in STAGES
    }
    pictures = sum(answered.values())
    judged = [entry for (_, kind), entry in entries.items() if kind == JUDGED]
    labelled, wrong = sum(e.num_requests for e in judged), sum(e.num_failures for e in judged)

    def mean(name: str) -> float | None:
        entry = entries.get((name, BYTES))
        return entry.total_content_length / entry.num_requests if entry and entry.num_requests else None

    high = entries.get(("high", BYTES))
    return Figures(
        pictures=pictures,
        failed=sum(e.num_failures for (name, kind), e in entries.items() if name == FAILED),
        labelled=labelled,
        accuracy=1 - wrong / labelled if labelled else None,
        answered_low=(pictures - answered["high"]) / pictures if pictures else None,
        sent_high=(high.num_requests if high else 0) / pictures if pictures else None,
        mean_payload_bytes=mean("payload"),
        mean_link_bytes_up=mean("link up"),
        mean_link_bytes_down=mean("link down"),
    )


def _is_kind(kind: str) -> bool:
    return kind not in (BYTES, JUDGED)


def lines(figures: Figures) -> list[tuple[str, str]]:
    """Name and value of all that is known, for people."""
    told = []
    for name, value in asdict(figures).items():
        if value is not None:
            share = name in ("accuracy", "answered_low", "sent_high")
            text = f"{value:.1%}" if share else f"{value:,.0f}"
            told.append((name.replace("_", " "), text))
    return told
