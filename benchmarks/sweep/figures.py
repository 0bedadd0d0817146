"""The pictures of a sweep's report: a study goes in, an SVG comes out, None if there is nothing to show."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullLocator

from overtone.benchmarks.sweep import ink
from overtone.benchmarks.sweep.answer_figures import accuracy, exits
from overtone.benchmarks.sweep.link_figures import links, policies, rates
from overtone.benchmarks.sweep.study import Pool, Study, knee


def draw(study: Study, folder: Path) -> dict[str, str]:
    """All that there are, as SVG by name; each is also written as a PNG into the folder."""
    makers: dict[str, Callable[[Study, Path], str | None]] = {
        "links": links,
        "rates": rates,
        "policies": policies,
        "accuracy": accuracy,
        "exits": exits,
        "devices": devices,
        "timeline": timeline,
    }
    drawn = {name: make(study, folder) for name, make in makers.items()}
    return {name: svg for name, svg in drawn.items() if svg is not None}


def devices(study: Study, folder: Path) -> str | None:
    """Latency and answers a second against the number of devices, with the knee."""
    fleets = study.fleets()
    if len(fleets) < 2:
        return None
    counts = [pool.point.devices for pool in fleets]
    with ink.drawing(4.8, nrows=2, sharex=True, height_ratios=(3, 2)) as (figure, (upper, lower)):
        _fleet_latency(upper, counts, fleets)
        _fleet_rate(lower, counts, fleets)
        upper.set_xscale("log")
        upper.set_xticks(counts, [str(count) for count in counts])
        upper.xaxis.set_minor_locator(NullLocator())
        upper.set_xlim(counts[0] / 1.2, counts[-1] * 1.35)
        lower.set_xlabel("devices")
        found = knee(fleets)
        if found is not None:
            _mark_knee(upper, lower, found, counts)
        return ink.save(figure, "devices", folder)


def _fleet_latency(axes: Any, counts: list[int], fleets: list[Pool]) -> None:
    percents = (50, 95, 99)
    ends = [math.log(fleets[-1].latency(percent)) for percent in percents]
    values = [pool.latency(percent) for pool in fleets for percent in percents]
    low, high = min(values) / 1.5, 2.2 * max(values)
    places = ink.apart(ends, 0.085 * math.log(high / low))
    for percent, alpha, place in zip(percents, (1.0, 0.65, 0.35), places, strict=True):
        y = [pool.latency(percent) for pool in fleets]
        axes.plot(counts, y, "o-", color=ink.OURS, alpha=alpha, markersize=5)
        axes.annotate(
            f"p{percent}",
            (counts[-1], math.exp(place)),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=ink.OURS,
        )
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    marks = ink.decades(low, high)
    axes.set_yticks(marks, [ink.tick(mark) for mark in marks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title("latency", loc="left", fontsize=9.5, weight="bold")


def _fleet_rate(axes: Any, counts: list[int], fleets: list[Pool]) -> None:
    axes.plot(counts, [pool.rate for pool in fleets], "o-", color=ink.WEBP, markersize=5)
    top, pace = max(pool.rate for pool in fleets), fleets[0].point.per_second
    axes.set_ylim(0, 1.25 * top)
    if pace:
        asked = [pace * count for count in counts]
        axes.plot(counts, asked, color=ink.MUTED, linewidth=1, linestyle=":", zorder=1)
    said = "answers a second" + (" (dotted: asked for)" if pace else "")
    axes.set_title(said, loc="left", fontsize=9.5, weight="bold")


def _mark_knee(upper: Any, lower: Any, found: Pool, counts: list[int]) -> None:
    at = found.point.devices
    for axes in (upper, lower):
        axes.axvline(at, color=ink.INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    left = counts.index(at) >= len(counts) / 2
    upper.annotate(
        f"knee: {at} devices" if at > 1 else "knee: 1 device",
        (at, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if left else 6, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        weight="bold",
        fontsize=9,
    )


PHASE_COLOURS = {
    "encode": ink.INK,
    "low up": ink.OURS,
    "queue low": ink.GRID,
    "compute low": ink.WARM,
    "ask": ink.JPEG,
    "high up": ink.OURS,
    "queue high": ink.GRID,
    "compute high": ink.WARM,
    "answer": ink.JPEG,
}


def timeline(study: Study, folder: Path) -> str | None:
    """Where the time of one escalated image goes, a panel a link."""
    seen = study.timelines
    if not seen:
        return None
    with ink.drawing(0.3 + 2.2 * len(seen), nrows=len(seen), squeeze=False) as (figure, grid):
        for axes, line in zip(grid[:, 0], seen, strict=True):
            _gantt(axes, line)
        grid[-1, 0].set_xlabel("milliseconds since the device began to encode")
        return ink.save(figure, "timeline", folder)


def _gantt(axes: Any, line: dict[str, Any]) -> None:
    begin, total = 0.0, sum(spent for _, spent in line["phases"])
    for y, (name, spent) in enumerate(line["phases"]):
        axes.barh(y, max(spent, total / 300), left=begin, height=0.72, color=PHASE_COLOURS[name])
        late = begin + spent > 0.78 * total
        axes.annotate(
            f"{name} {spent:,.0f}" if spent >= 1 else f"{name} <1",
            (begin if late else begin + spent, y),
            xytext=(-4 if late else 4, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=8.5,
        )
        begin += spent
    axes.set_title(
        f"{ink.link_title(line['link'])}: {line['low_bytes']:,} + {line['high_bytes']:,} bytes",
        loc="left",
        fontsize=9.5,
        weight="bold",
    )
    axes.set_ylim(len(line["phases"]) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xlim(0, 1.02 * total)
    axes.grid(axis="y", visible=False)
