"""The report's pictures of answers: how many are right, and how many come from low."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullLocator

from benchmarks import ink
from benchmarks.rival import Rival
from benchmarks.study import Pool, Study, ordered

PERCENT = FuncFormatter(lambda value, _: f"{value:.0%}")


def accuracy(study: Study, folder: Path) -> str | None:
    """Accuracy against mean payload bytes: our qualities, and rivals."""
    ours = ordered(study.of("accuracy", kind="session", operating_point=""), "quality")
    series: dict[str, list[Pool]] = {"Overtone": ours}
    for pool in study.of("accuracy", kind="upload"):
        rival = Rival.parse(pool.point.rival)
        name = f"{rival.name} {rival.side} px"
        series.setdefault(name, []).append(pool)
    drawn = {name: sorted(pools, key=lambda p: p.mean("payload")) for name, pools in series.items()}
    drawn = {name: [p for p in pools if p.accuracy] for name, pools in drawn.items()}
    if not any(drawn.values()):
        return None
    with ink.drawing(4.1) as (figure, axes):
        for name, pools in drawn.items():
            if pools:
                _curve(axes, name, pools)
        axes.set_xscale("log")
        sizes = [pool.mean("payload") for pools in drawn.values() for pool in pools]
        marks = [
            m * 10**e
            for e in range(1, 6)
            for m in (1, 2, 5)
            if min(sizes) / 1.5 <= m * 10**e <= 1.6 * max(sizes)
        ]
        axes.set_xticks(marks, [f"{mark:,}" for mark in marks])
        axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.35)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        axes.set_xlabel("mean bytes of a picture (payload or file), log scale")
        axes.set_ylabel("right answers, with 95 % interval")
        return ink.save(figure, "accuracy", folder)


def _curve(axes: Any, name: str, pools: list[Pool]) -> None:
    x = np.array([pool.mean("payload") for pool in pools])
    found = np.array([pool.accuracy for pool in pools])
    tint = ink.colour(name)
    axes.fill_between(x, found[:, 1], found[:, 2], color=tint, alpha=0.12, linewidth=0)
    axes.plot(x, found[:, 0], marker="o", color=tint, markersize=5)
    axes.annotate(
        name,
        (x[-1], found[-1, 0]),
        xytext=(4, 7),
        textcoords="offset points",
        color=tint,
        va="bottom",
        ha="center",
        weight="bold",
        fontsize=9,
    )


def exits(study: Study, folder: Path) -> str | None:
    """Share answered from low, by quality, for each operating point."""
    pools = study.of("accuracy", kind="session")
    points = list(dict.fromkeys(pool.point.operating_point for pool in pools))
    lines = {p: ordered([q for q in pools if q.point.operating_point == p], "quality") for p in points}
    if not pools:
        return None
    tints = [ink.OURS, ink.WEBP, ink.WARM, ink.JPEG]
    with ink.drawing(3.0) as (figure, axes):
        for number, (point, line) in enumerate(sorted(lines.items())):
            tint = tints[number % len(tints)]
            x = [pool.point.quality for pool in line]
            y = [pool.exit_share for pool in line]
            axes.plot(x, y, "o-", color=tint, markersize=5)
            axes.annotate(
                point or "default point",
                (x[-1], y[-1]),
                xytext=(8, 0),
                textcoords="offset points",
                color=tint,
                va="center",
                weight="bold",
                fontsize=9,
            )
        qualities = sorted({pool.point.quality for pool in pools})
        axes.set_xticks(qualities, [str(q) if q else "default" for q in qualities])
        axes.set_xlim(min(qualities) - 0.3, max(qualities) + 0.25 * (max(qualities) - min(qualities)) + 1)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("quality")
        axes.set_ylabel("answered from low")
        return ink.save(figure, "exits", folder)
