"""The summary of a demo's images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from overtone.edge_client.output import DetectedRow, Line
from overtone.link.rate import Rate
from overtone.link.tcp_overhead import on_wire


def summarise(
    rows: Sequence[Line],
    setup: tuple[int, int],
    tables: tuple[int, int],
    failed: int,
    rate: Rate,
    rtt: float,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """All images of a demo, at least one, as one JSON object that begins with `about`.

    Bytes are means per image; `setup` is bytes up and down for opening the session, with the tables of the first layer,
    and `tables` for those of further layers, which a device otherwise fetches when they are first wanted. `rate` and
    `rtt` (seconds) are the link's. `jpeg_link_seconds` is computed, not measured: the JPEGs' bytes on the wire
    over the link's rate, and a round trip each.
    """

    def mean(field: str) -> float:
        return float(np.mean([getattr(row, field) for row in rows]))

    latencies = [row.latency_ms for row in rows]
    payload, jpeg = mean("payload_bytes"), mean("jpeg_bytes")
    return {
        **about,
        "rate": str(rate),
        "rtt_ms": 1e3 * rtt,
        "n": len(rows),
        "failed": failed,
        "labelled": sum(row.truth is not None for row in rows),
        "accuracy": accuracy(rows),
        "things": things(rows),
        "exit_share": exit_share(rows),
        "answered_after": answered_after(rows),
        "mean_payload_bytes": payload,
        "mean_link_bytes_up": mean("link_bytes_up"),
        "mean_link_bytes_down": mean("link_bytes_down"),
        "setup_link_bytes_up": setup[0],
        "setup_link_bytes_down": setup[1],
        "tables_link_bytes_up": tables[0],
        "tables_link_bytes_down": tables[1],
        "latency_p50_ms": float(np.percentile(latencies, 50)),
        "latency_p95_ms": float(np.percentile(latencies, 95)),
        "link_seconds": sum(latencies) / 1e3,
        "mean_jpeg_bytes": jpeg,
        "payload_to_jpeg": payload / jpeg,
        "jpeg_link_seconds": sum(rate.seconds(on_wire(row.jpeg_bytes)) + rtt for row in rows),
    }


def accuracy(rows: Sequence[Line]) -> float | None:
    """Share of correct answers among those whose truth is known; None if none is."""
    known = [row.label == row.truth for row in rows if row.truth is not None]
    return sum(known) / len(known) if known else None


def things(rows: Sequence[Line]) -> float | None:
    """The mean number of things in a picture; None if they were classified."""
    counts = [len(row.detections) for row in rows if isinstance(row, DetectedRow)]
    return sum(counts) / len(counts) if counts else None


def exit_share(rows: Sequence[Line]) -> float:
    """Share answered from the first layer."""
    return sum(row.layers < 2 for row in rows) / len(rows)


def answered_after(rows: Sequence[Line]) -> dict[str, float]:
    """Share of answers by the number of layers they are made of."""
    counts = Counter(row.layers for row in rows)
    return {str(layers): counts[layers] / len(rows) for layers in range(1, max(counts) + 1)}


def shares_line(shares: Mapping[str, float]) -> str:
    """The shares of `answered_after` for people, as "1: 61 %, 2: 30 %, 3: 9 %"."""
    return ", ".join(f"{layers}: {share:.0%}" for layers, share in shares.items())


def show(console: Console, summary: Mapping[str, Any]) -> None:
    """Print the summary for people."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), title="summary", title_justify="left")
    table.add_column(style="dim")
    table.add_column()
    for name, value in _lines(summary):
        table.add_row(name, value)
    console.print()
    console.print(table)
    if summary["note"]:
        console.print(f"Note: {summary['note']}.", style="yellow", highlight=False, markup=False)


def _answers(s: Mapping[str, Any]) -> str:
    if s["things"] is not None:
        where = f", drawn in {s['drawn']}" if s.get("drawn") else ""
        return f"{s['things']:.1f} things a picture{where}"
    share = s["accuracy"]
    return "no truth known" if share is None else f"{share:.1%} of {s['labelled']} correct"


def _lines(s: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "answers", _answers(s) + (f", {s['failed']} failed" if s["failed"] else "")
    yield "answered after layer", shares_line(s["answered_after"])
    yield "payload", f"{s['mean_payload_bytes']:,.0f} bytes per image"
    yield (
        "on the link",
        f"{s['mean_link_bytes_up']:,.0f} bytes up and {s['mean_link_bytes_down']:,.0f} down per image",
    )
    yield (
        "once",
        f"{s['setup_link_bytes_up']:,} up and {s['setup_link_bytes_down']:,} down to open the first session; "
        f"{s['tables_link_bytes_up']:,} up and {s['tables_link_bytes_down']:,} down for tables of further layers",
    )
    yield "latency", f"{s['latency_p50_ms']:,.0f} ms median, {s['latency_p95_ms']:,.0f} ms 95th percentile"
    yield (
        f"JPEG, {s['size'] // 2} pixels",
        f"{s['mean_jpeg_bytes']:,.0f} bytes per image; Overtone's are {s['payload_to_jpeg']:.0%} of that",
    )
    yield (
        "time",
        f"{s['link_seconds']:.1f} s measured for Overtone; the JPEGs alone would occupy the same link for "
        f"{s['jpeg_link_seconds']:.1f} s (computed)",
    )
