"""A run in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from rich.console import Console
from rich.table import Table

from overtone.benchmarks.link.air import on_air
from overtone.benchmarks.link.rate import Rate
from overtone.edge_client.output import Row


@dataclass(frozen=True)
class Setting:
    """What a run was made under."""

    model: str
    size: int
    origin: str
    note: str
    transport: str
    policy: str
    rate: Rate
    rtt: float


@dataclass(frozen=True)
class Summary:
    """A run in numbers; the fields are keys of its JSON.

    Bytes are means per picture. Setting the session up (profile included) is told apart from the pictures.
    `jpeg_link_seconds` is computed, not sent: the JPEGs' bytes on the air over the link's rate, and a round
    trip each.
    """

    model: str
    size: int
    pictures: str
    note: str
    transport: str
    policy: str
    rate: str
    rtt_ms: float
    n: int
    failed: int
    labelled: int
    accuracy: float | None
    exit_share: float
    mean_payload_bytes: float
    mean_link_bytes_up: float
    mean_link_bytes_down: float
    setup_link_bytes_up: int
    setup_link_bytes_down: int
    latency_p50_ms: float
    latency_p95_ms: float
    link_seconds: float
    mean_jpeg_bytes: float
    payload_to_jpeg: float
    jpeg_link_seconds: float

    @classmethod
    def of(cls, setting: Setting, rows: Sequence[Row], setup: tuple[int, int], failed: int) -> Self:
        """Sum up at least one row."""
        latencies = [row.latency_ms for row in rows]
        payload = float(np.mean([row.payload_bytes for row in rows]))
        jpeg = float(np.mean([row.jpeg_bytes for row in rows]))
        return cls(
            model=setting.model,
            size=setting.size,
            pictures=setting.origin,
            note=setting.note,
            transport=setting.transport,
            policy=setting.policy,
            rate=str(setting.rate),
            rtt_ms=1e3 * setting.rtt,
            n=len(rows),
            failed=failed,
            labelled=sum(row.truth is not None for row in rows),
            accuracy=accuracy(rows),
            exit_share=exit_share(rows),
            mean_payload_bytes=payload,
            mean_link_bytes_up=float(np.mean([row.link_bytes_up or 0 for row in rows])),
            mean_link_bytes_down=float(np.mean([row.link_bytes_down or 0 for row in rows])),
            setup_link_bytes_up=setup[0],
            setup_link_bytes_down=setup[1],
            latency_p50_ms=float(np.percentile(latencies, 50)),
            latency_p95_ms=float(np.percentile(latencies, 95)),
            link_seconds=sum(latencies) / 1e3,
            mean_jpeg_bytes=jpeg,
            payload_to_jpeg=payload / jpeg,
            jpeg_link_seconds=sum(setting.rate.seconds(on_air(row.jpeg_bytes)) + setting.rtt for row in rows),
        )


def accuracy(rows: Sequence[Row]) -> float | None:
    """Share of right answers among those whose truth is known; None if none is."""
    known = [row.label == row.truth for row in rows if row.truth is not None]
    return sum(known) / len(known) if known else None


def exit_share(rows: Sequence[Row]) -> float:
    """Share answered without the high payload."""
    return sum(row.stage != "high" for row in rows) / len(rows)


def show(console: Console, summary: Summary) -> None:
    """The sum of it all, for people."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), title="in sum", title_justify="left")
    table.add_column(style="dim")
    table.add_column()
    for name, value in _lines(summary):
        table.add_row(name, value)
    console.print()
    console.print(table)
    if summary.note:
        console.print(f"Note: {summary.note}.", style="yellow", highlight=False, markup=False)


def _lines(s: Summary) -> list[tuple[str, str]]:
    known = "no truth known" if s.accuracy is None else f"{s.accuracy:.1%} of {s.labelled} right"
    return [
        ("answers", known + (f", {s.failed} failed" if s.failed else "")),
        ("answered from low", f"{s.exit_share:.0%}"),
        ("payload", f"{s.mean_payload_bytes:,.0f} bytes a picture"),
        (
            "on the link",
            f"{s.mean_link_bytes_up:,.0f} bytes up and {s.mean_link_bytes_down:,.0f} down a picture "
            f"(the session itself, once: {s.setup_link_bytes_up:,} up, {s.setup_link_bytes_down:,} down)",
        ),
        ("latency", f"{s.latency_p50_ms:,.0f} ms median, {s.latency_p95_ms:,.0f} ms 95th percentile"),
        (
            f"JPEG, {s.size // 2} pixels",
            f"{s.mean_jpeg_bytes:,.0f} bytes a picture; ours are {s.payload_to_jpeg:.0%} of that",
        ),
        (
            "time",
            f"{s.link_seconds:.1f} s for ours as measured; the JPEGs alone would hold the same link for "
            f"{s.jpeg_link_seconds:.1f} s (computed)",
        ),
    ]
