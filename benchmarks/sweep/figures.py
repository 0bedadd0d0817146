"""The figures of a sweep's report: each is written as a PNG and returned as SVG, None if it has no data."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullLocator

from overtone.benchmarks import plot_style as style
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep.economy_figure import economy
from overtone.benchmarks.sweep.link_figures import links, policies, rates
from overtone.benchmarks.sweep.study import Pool, Study, knee

PERCENT = FuncFormatter(lambda value, _: f"{value:.0%}")
PHASE_COLOURS = {
    "encode": style.INK,
    "up": style.OURS,
    "queue": style.GRID,
    "compute": style.WARM,
    "ask": style.JPEG,
    "answer": style.JPEG,
}


def draw(study: Study, folder: Path) -> dict[str, str]:
    """All figures that have data, as SVG by name; their PNGs are written into the folder."""
    makers: dict[str, Callable[[Study, Path], str | None]] = {
        "links": links,
        "rates": rates,
        "policies": policies,
        "economy": economy,
        "accuracy": accuracy,
        "exits": exits,
        "devices": devices,
        "timeline": timeline,
    }
    drawn = {name: make(study, folder) for name, make in makers.items()}
    return {name: svg for name, svg in drawn.items() if svg is not None}


def accuracy(study: Study, folder: Path) -> str | None:
    """Accuracy against mean payload bytes: Overtone's qualities, and baselines."""
    series = {"Overtone": study.of("accuracy", kind="session", operating_point="")}
    for pool in study.of("accuracy", kind="upload"):
        series.setdefault(Baseline.parse(pool.point.baseline).name, []).append(pool)
    drawn = {
        name: sorted((p for p in pools if p.accuracy), key=lambda p: p.mean("payload"))
        for name, pools in series.items()
    }
    sizes = [pool.mean("payload") for pools in drawn.values() for pool in pools]
    if not sizes:
        return None
    with style.drawing(4.2) as (figure, axes):
        for name, pools in drawn.items():
            if pools:
                _accuracy_curve(axes, name, pools)
        style.logarithmic(axes, "x", min(sizes) / 1.4, 1.6 * max(sizes))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        axes.set_xlabel("mean bytes of an image (payload or file)")
        axes.set_title("correct answers")
        figure.legend(loc="outside lower left", ncols=3)
        return style.save(figure, "accuracy", folder)


def _accuracy_curve(axes: Any, name: str, pools: list[Pool]) -> None:
    """A line through the points, a stroke for each interval, and each point's setting."""
    x = np.array([pool.mean("payload") for pool in pools])
    found = np.array([pool.accuracy for pool in pools])
    tint = style.colour(name)
    axes.vlines(x, found[:, 1], found[:, 2], color=tint, alpha=0.3, linewidth=3)
    axes.plot(x, found[:, 0], marker="o", color=tint, markersize=5, label=name)
    offset = 5, 5 if name == "Overtone" else -11
    for pool, at, (share, _, _) in zip(pools, x, found, strict=True):
        style.note(axes, _setting(pool), (at, share), offset, color=tint, fontsize=7.5)


def _setting(pool: Pool) -> str:
    if not pool.point.baseline:
        return f"q{pool.point.quality}" if pool.point.quality else "default"
    baseline = Baseline.parse(pool.point.baseline)
    return f"{baseline.side} px q{baseline.quality}"


def exits(study: Study, folder: Path) -> str | None:
    """Share answered from the first layer, by quality, for each operating point."""
    pools = sorted(study.of("accuracy", kind="session"), key=lambda pool: pool.point.quality)
    if not pools:
        return None
    points = sorted({pool.point.operating_point for pool in pools})
    lines = {p: [q for q in pools if q.point.operating_point == p] for p in points}
    tints = [style.OURS, style.WEBP, style.WARM, style.JPEG]
    places = style.apart([line[-1].exit_share for line in lines.values()], 0.075)
    qualities = sorted({pool.point.quality for pool in pools})
    first, last = qualities[0], qualities[-1]
    with style.drawing(3.0) as (figure, axes):
        for number, (point, line) in enumerate(lines.items()):
            tint = tints[number % len(tints)]
            x = [pool.point.quality for pool in line]
            axes.plot(x, [pool.exit_share for pool in line], "o-", color=tint, markersize=5)
            name, at = point or "the card's default", (last, places[number])
            style.note(axes, name, at, (8, 0), color=tint, va="center", weight="bold", fontsize=9)
        axes.set_xticks(qualities, [str(q) if q else "default" for q in qualities])
        axes.set_xlim(first - 0.3, last + 0.25 * (last - first) + 1)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("quality")
        axes.set_title("answered from the first layer")
        return style.save(figure, "exits", folder)


def devices(study: Study, folder: Path) -> str | None:
    """Latency and answers per second against the number of devices, with the knee."""
    fleets = study.fleets()
    if len(fleets) < 2:
        return None
    counts = [pool.point.devices for pool in fleets]
    with style.drawing(4.8, nrows=2, sharex=True, height_ratios=(3, 2)) as (figure, (upper, lower)):
        _fleet_latency(upper, counts, fleets)
        _fleet_rate(lower, counts, fleets)
        upper.set_xscale("log")
        upper.set_xticks(counts, [str(count) for count in counts])
        upper.xaxis.set_minor_locator(NullLocator())
        upper.set_xlim(counts[0] / 1.2, counts[-1] * 1.35)
        lower.set_xlabel("devices")
        found = knee(fleets)
        if found is not None:
            _mark_knee(upper, lower, found.point.devices, counts)
        return style.save(figure, "devices", folder)


def _fleet_latency(axes: Any, counts: list[int], fleets: list[Pool]) -> None:
    percents = (50, 95, 99)
    values = [pool.latency(percent) for pool in fleets for percent in percents]
    low, high = min(values) / 1.5, 2.2 * max(values)
    ends = [math.log(fleets[-1].latency(percent)) for percent in percents]
    places = style.apart(ends, 0.085 * math.log(high / low))
    for percent, alpha, place in zip(percents, (1.0, 0.65, 0.35), places, strict=True):
        y = [pool.latency(percent) for pool in fleets]
        axes.plot(counts, y, "o-", color=style.OURS, alpha=alpha, markersize=5)
        at = counts[-1], math.exp(place)
        style.note(axes, f"p{percent}", at, (8, 0), va="center", color=style.OURS)
    style.logarithmic(axes, "y", low, high, "ms")
    axes.set_title("latency")


def _fleet_rate(axes: Any, counts: list[int], fleets: list[Pool]) -> None:
    axes.plot(counts, [pool.rate for pool in fleets], "o-", color=style.WEBP, markersize=5)
    per_second = fleets[0].point.per_second
    axes.set_ylim(0, 1.25 * max(pool.rate for pool in fleets))
    if per_second:
        requested = [per_second * count for count in counts]
        axes.plot(counts, requested, color=style.MUTED, linewidth=1, linestyle=":", zorder=1)
    axes.set_title("answers per second" + (" (dotted: requested)" if per_second else ""))


def _mark_knee(upper: Any, lower: Any, at: int, counts: list[int]) -> None:
    for axes in (upper, lower):
        axes.axvline(at, color=style.INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    left = counts.index(at) >= len(counts) / 2
    place = {"xycoords": ("data", "axes fraction"), "ha": "right" if left else "left", "va": "top"}
    text = f"knee: {at} devices" if at > 1 else "knee: 1 device"
    style.note(upper, text, (at, 0.97), (-6 if left else 6, 0), weight="bold", fontsize=9, **place)


def timeline(study: Study, folder: Path) -> str | None:
    """Where the time of one escalated image goes, a panel per link."""
    traced = study.timelines
    if not traced:
        return None
    with style.drawing(0.3 + 2.2 * len(traced), nrows=len(traced), squeeze=False) as (figure, grid):
        for axes, line in zip(grid[:, 0], traced, strict=True):
            _gantt(axes, line)
        grid[-1, 0].set_xlabel("milliseconds since the device began to encode")
        return style.save(figure, "timeline", folder)


def _phase_colour(name: str) -> str:
    """The colour of a phase, by the word in its name for what happens; the other words name the layer."""
    return next(PHASE_COLOURS[word] for word in name.split() if word in PHASE_COLOURS)


def _gantt(axes: Any, line: dict[str, Any]) -> None:
    begin, total = 0.0, sum(spent for _, spent in line["phases"])
    for y, (name, spent) in enumerate(line["phases"]):
        axes.barh(y, max(spent, total / 300), left=begin, height=0.72, color=_phase_colour(name))
        late = begin + spent > 0.78 * total
        text = f"{name} {spent:,.0f}" if spent >= 1 else f"{name} <1"
        at, side = (begin if late else begin + spent, y), "right" if late else "left"
        style.note(axes, text, at, (-4 if late else 4, 0), ha=side, va="center", fontsize=8.5)
        begin += spent
    # Time-lines of two payloads were written with their names.
    sizes = (
        " + ".join(f"{size:,}" for size in line.get("bytes") or (line["low_bytes"], line["high_bytes"]))
        + " bytes"
    )
    axes.set_title(f"{style.link_title(line['link'])}: {sizes}")
    axes.set_ylim(len(line["phases"]) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xlim(0, 1.02 * total)
    axes.grid(axis="y", visible=False)
