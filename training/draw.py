"""The figures of `overtone evaluate`: reliability, thresholds, accuracy against bytes."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.transforms import offset_copy

from overtone.training.measure import AtThreshold, Measured, Mode
from overtone.training.reliability import Reliability
from overtone.training.style import BOTH, CASCADE, FAINT, INK, LOW, WRONG, figure, percent

# Bins with fewer answers say little.
FEW = 10
STAGES = {"low": (LOW, "low answers"), "high": (BOTH, "high answers")}


def draw_all(what: str, rows: dict[int, Measured], main: int, folder: Path) -> list[Path]:
    """Three PNGs in `folder`; reliability and thresholds are of quality `main`."""
    paths = [folder / f"{name}.png" for name in ("reliability", "thresholds", "bytes")]
    draw_reliability(what, rows[main], paths[0])
    draw_thresholds(what, rows[main], paths[1])
    draw_bytes(what, tuple(rows.values()), paths[2])
    return paths


def draw_reliability(what: str, found: Measured, path: Path) -> None:
    """Accuracy against confidence, bin by bin, over how many answers a bin has: stages x before and after."""
    note = (
        "Bars: accuracy of the answers in a bin of confidence, pale where they are fewer than "
        f"{FEW}. Hatched: the gap to their mean confidence.\n"
        "Below: the share of answers in each bin; mean accuracy solid, mean confidence dashed. "
        "Calibration error: the mean gap over answers."
    )
    title = f"Reliability: {what}, quality {found.quality}, {found.n} pictures"
    with figure(path, 9, 10, title, note) as drawn:
        axes = drawn.subplots(4, 2, sharex=True, sharey="row", height_ratios=(3, 1, 3, 1))
        for i, (stage, c) in enumerate(found.calibration.items()):
            colour, name = STAGES[stage]
            titles = f"{name}, as trained", f"{name}, temperature {c.temperature:.3f}"
            for j, r in enumerate((c.before, c.after)):
                axes[2 * i, j].set_title(titles[j])
                _diagram(axes[2 * i, j], r, colour)
                _histogram(axes[2 * i + 1, j], r, colour)
            axes[2 * i, 0].set_ylabel("accuracy")
            axes[2 * i + 1, 0].set_ylabel("answers")
        for bottom in axes[-1]:
            bottom.set_xlabel("confidence")


def _diagram(axes: Axes, r: Reliability, colour: str) -> None:
    width, centres = 1 / len(r.counts), (r.edges[1:] + r.edges[:-1]) / 2
    seen = r.counts > 0
    shades = [to_rgba(colour, 0.75 if count >= FEW else 0.2) for count in r.counts[seen]]
    axes.bar(centres[seen], r.accuracy[seen], width, color=shades, edgecolor="white")
    gap = (r.confidence - r.accuracy)[seen]
    axes.bar(
        centres[seen], gap, width, bottom=r.accuracy[seen],
        color=(0, 0, 0, 0), edgecolor=WRONG, hatch="////", linewidth=0.8,
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    percent(axes, "x")
    percent(axes, "y")
    means = f"confidence {r.mean_confidence:.1%}\naccuracy {r.mean_accuracy:.1%}"
    text = f"calibration error {r.error:.1%}\n{means}"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 3}
    axes.text(0.03, 0.96, text, transform=axes.transAxes, va="top", linespacing=1.4, bbox=box)


def _histogram(axes: Axes, r: Reliability, colour: str) -> None:
    centres = (r.edges[1:] + r.edges[:-1]) / 2
    axes.bar(centres, r.counts / r.n, 1 / len(r.counts), color=colour, alpha=0.75, edgecolor="white")
    percent(axes, "y")
    axes.axvline(r.mean_accuracy, color=INK, linewidth=1.2)
    axes.axvline(r.mean_confidence, color=WRONG, linewidth=1.2, linestyle="--")


def draw_thresholds(what: str, found: Measured, path: Path) -> None:
    """Accuracy, share answered low and mean bytes as the threshold rises; the operating points marked."""
    title = f"What the threshold decides: {what}, quality {found.quality}"
    note = (
        f"{found.n} pictures. A low answer at least as confident as the threshold is final; for the others "
        "high is asked for.\nDotted: the card's operating points. Solid: the threshold in use."
    )
    curve = [row for row in found.curve if row.threshold <= 1]
    with figure(path, 9, 9.5, title, note) as drawn:
        top, middle, bottom = drawn.subplots(3, 1, sharex=True, height_ratios=(5, 3, 3))
        _accuracies(top, found, curve)
        _line(middle, curve, lambda row: row.exit_share, color=LOW)
        middle.set(title="answered from low", ylabel="share of pictures", ylim=(0, 1.02))
        percent(middle, "y")
        _line(bottom, curve, lambda row: row.mean_bytes, color=CASCADE)
        _level(bottom, found.low.mean_bytes, LOW, "low only", at=0.99)
        _level(bottom, found.both.mean_bytes, BOTH, "always both")
        bottom.set(title="payload", ylabel="mean bytes per picture", ylim=(0, 1.15 * found.both.mean_bytes))
        bottom.set(xlabel="threshold on the confidence of the low answer", xlim=(_start(curve), 1))
        percent(bottom, "x")
        for axes in (top, middle, bottom):
            _points(axes, found, named=axes is middle)


def _accuracies(axes: Axes, found: Measured, curve: Sequence[AtThreshold]) -> None:
    dashed = {"color": LOW, "linestyle": (0, (4, 1))}
    _line(axes, curve, lambda row: row.low_answer_top1, label="answers given from low", **dashed)
    _line(axes, curve, lambda row: row.top1, color=CASCADE, label="cascade")
    _level(axes, found.both.top1, BOTH, f"always both {found.both.top1:.1%}")
    _level(axes, found.low.top1, LOW, f"low only {found.low.top1:.1%}", at=0.99)
    axes.set(title="accuracy", ylabel="top-1")
    percent(axes, "y")
    axes.legend(loc="best")


def _start(curve: Sequence[AtThreshold]) -> float:
    """Where the axis begins: below it all is answered from low."""
    least = max((row.threshold for row in curve if row.exit_share == 1), default=0.0)
    return math.floor(20 * min(least, 0.9)) / 20


def _line(
    axes: Axes, curve: Sequence[AtThreshold], value: Callable[[AtThreshold], float | None], **style: Any
) -> None:
    found = [(row.threshold, value(row)) for row in curve]
    axes.plot(*zip(*((x, y) for x, y in found if y is not None), strict=True), **style)


def _level(axes: Axes, value: float, colour: str, label: str, at: float = 0.01) -> None:
    """A horizontal line with its name above it, `at` a fraction of the width."""
    axes.axhline(value, color=colour, linewidth=1.2, alpha=0.8)
    where, side = (("axes fraction", "data"), "left" if at < 0.5 else "right")
    axes.annotate(label, (at, value), (0, 3), where, "offset points", color=colour, fontsize=9, ha=side)


def _points(axes: Axes, found: Measured, named: bool) -> None:
    """Vertical lines at the operating points inside the axes, with their names beside them if `named`."""
    for row in found.thresholds:
        used = row.threshold == found.threshold and not found.rule
        if not row.name or row.rule or not axes.get_xlim()[0] <= row.threshold <= 1:
            continue
        axes.axvline(row.threshold, color=INK, linewidth=1.2 if used else 1, linestyle="-" if used else ":")
        if named:
            at, where, colour = (row.threshold, 0.05), ("data", "axes fraction"), INK if used else FAINT
            text = axes.annotate(row.name, at, (-2, 0), where, "offset points", color=colour, fontsize=9)
            text.set(rotation=90, ha="right", va="bottom")


def draw_bytes(what: str, rows: Sequence[Measured], path: Path) -> None:
    """Accuracy against mean payload bytes: low only, always both, and the cascade over all its thresholds."""
    title = f"Accuracy against bytes: {what}"
    first = rows[0]
    same = len({row.threshold for row in rows}) == 1 and not first.rule
    how = f"at threshold {first.threshold:.3f}" if same else "as the operating point says"
    note = (
        f"{first.n} pictures. Thin: the cascade over all thresholds, from low only to always both.\n"
        f"Large points: the cascade {how}. Numbers are qualities."
    )
    with figure(path, 9, 6.5, title, note) as drawn:
        axes = drawn.subplots()
        for found in rows:
            sent, top1 = [row.mean_bytes for row in found.curve], [row.top1 for row in found.curve]
            axes.plot(sent, top1, color=CASCADE, linewidth=1, alpha=0.55)
        _modes(axes, [found.low for found in rows], LOW, "low only", 6)
        _modes(axes, [found.both for found in rows], BOTH, "always both", 6)
        _modes(axes, [found.cascade for found in rows], CASCADE, "cascade", 10)
        for found in rows:
            above = offset_copy(axes.transData, drawn, y=9, units="points")
            at = found.cascade.mean_bytes, found.cascade.top1
            axes.text(*at, str(found.quality), transform=above, ha="center", color=CASCADE, fontweight="bold")
        axes.set(xlabel="mean payload bytes per picture", ylabel="top-1", xlim=(0, None))
        percent(axes, "y", 1)
        axes.legend(loc="lower right")


def _modes(axes: Axes, points: Sequence[Mode], colour: str, name: str, size: float) -> None:
    """One mode over the qualities."""
    sent, top1 = [point.mean_bytes for point in points], [point.top1 for point in points]
    axes.plot(sent, top1, "o-", color=colour, label=name, markersize=size, markeredgecolor="white")
