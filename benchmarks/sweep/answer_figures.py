"""The report's pictures of answers: how many are right, and how many come from low."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullLocator

from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep import ink
from overtone.benchmarks.sweep.study import Pool, Study, ordered

PERCENT = FuncFormatter(lambda value, _: f"{value:.0%}")


def accuracy(study: Study, folder: Path) -> str | None:
    """Accuracy against mean payload bytes: our qualities, and rivals."""
    series: dict[str, list[Pool]] = {}
    for pool in study.of("accuracy", kind="session", operating_point=""):
        series.setdefault("Overtone", []).append(pool)
    for pool in study.of("accuracy", kind="upload"):
        series.setdefault(Rival.parse(pool.point.rival).name, []).append(pool)
    drawn = {
        name: sorted((p for p in pools if p.accuracy), key=lambda p: p.mean("payload"))
        for name, pools in series.items()
    }
    sizes = [pool.mean("payload") for pools in drawn.values() for pool in pools]
    if not sizes:
        return None
    with ink.drawing(4.2) as (figure, axes):
        for name, pools in drawn.items():
            _curve(axes, name, pools)
        axes.set_xscale("log")
        marks = ink.decades(min(sizes) / 1.4, 1.6 * max(sizes))
        axes.set_xticks(marks, [f"{mark:,.0f}" for mark in marks])
        axes.set_xlim(min(sizes) / 1.4, max(sizes) * 1.6)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        axes.set_xlabel("mean bytes of a picture (payload or file)")
        axes.set_title("right answers", loc="left", fontsize=9.5, weight="bold")
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8.5)
        return ink.save(figure, "accuracy", folder)


def _curve(axes: Any, name: str, pools: list[Pool]) -> None:
    """A line through the points, a stroke for each interval, and what each of them is."""
    x = np.array([pool.mean("payload") for pool in pools])
    found = np.array([pool.accuracy for pool in pools])
    tint = ink.colour(name)
    axes.vlines(x, found[:, 1], found[:, 2], color=tint, alpha=0.3, linewidth=3)
    axes.plot(x, found[:, 0], marker="o", color=tint, markersize=5, label=name)
    for pool, at, (share, _, _) in zip(pools, x, found, strict=True):
        axes.annotate(
            _setting(pool),
            (at, share),
            xytext=(5, 5 if name == "Overtone" else -11),
            textcoords="offset points",
            color=tint,
            fontsize=7.5,
        )


def _setting(pool: Pool) -> str:
    if not pool.point.rival:
        return f"q{pool.point.quality}" if pool.point.quality else "default"
    rival = Rival.parse(pool.point.rival)
    return f"{rival.side} px q{rival.quality}"


def exits(study: Study, folder: Path) -> str | None:
    """Share answered from low, by quality, for each operating point."""
    pools = study.of("accuracy", kind="session")
    points = sorted({pool.point.operating_point for pool in pools})
    lines = {p: ordered([q for q in pools if q.point.operating_point == p], "quality") for p in points}
    if not pools:
        return None
    tints = [ink.OURS, ink.WEBP, ink.WARM, ink.JPEG]
    places = ink.apart([line[-1].exit_share for line in lines.values()], 0.075)
    qualities = sorted({pool.point.quality for pool in pools})
    with ink.drawing(3.0) as (figure, axes):
        for number, (point, line) in enumerate(lines.items()):
            tint = tints[number % len(tints)]
            x = [pool.point.quality for pool in line]
            axes.plot(x, [pool.exit_share for pool in line], "o-", color=tint, markersize=5)
            axes.annotate(
                point or "the card's default",
                (qualities[-1], places[number]),
                xytext=(8, 0),
                textcoords="offset points",
                color=tint,
                va="center",
                weight="bold",
                fontsize=9,
            )
        axes.set_xticks(qualities, [str(q) if q else "default" for q in qualities])
        axes.set_xlim(min(qualities) - 0.3, max(qualities) + 0.25 * (max(qualities) - min(qualities)) + 1)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("quality")
        axes.set_title("answered from low", loc="left", fontsize=9.5, weight="bold")
        return ink.save(figure, "exits", folder)
