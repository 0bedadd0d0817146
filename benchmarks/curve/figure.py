"""The figures of `overtone bench bytes`: top-1 against bytes, one a measure, to be read in a README.

Every line is labelled at its right, in its colour. The band is the range of top-1 that the number is a mean
over. Rivals also have a second, dashed line: what they would cost counted another way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from overtone.benchmarks.curve.delta_rate import Point, frontier
from overtone.benchmarks.curve.verdict import BEST
from overtone.training.style import CASCADE, figure, percent

Document = Mapping[str, Any]

COLOURS = {
    "JPEG": "#E69F00",
    "WebP": "#0072B2",
    "AVIF": "#D55E00",
    "JPEG XL": "#CC79A7",
    "progressive JPEG, cut": "#8A8A8A",
    "24 channels at once": "#56B4E9",
}
# Whose second line is drawn: the others are alike.
DASHED = ("JPEG", "WebP", "AVIF")
TICKS = (150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 6000)
WIDTH, HEIGHT = 8.0, 5.2
# Of the height: the least distance of two labels.
APART = 0.055
# Of top-1, above the highest point and below our lowest.
ABOVE, BELOW = 0.01, 0.05


@dataclass(frozen=True)
class View:
    """A way to count bytes and another for the dashed lines, by their keys, and what both are in words."""

    measure: str
    second: str
    ratio: str
    what: str
    axis: str
    note: str


PAYLOAD = View(
    "bytes",
    "bare",
    "payload",
    "bytes",
    "mean payload bytes per picture",
    "Dashed: rivals without all that is the same in every file, ours still whole.",
)
WIRE = View(
    "wire",
    "post",
    "wire",
    "bytes on the wire",
    "mean bytes on the wire per picture, both ways, TCP/IP headers included",
    "All in messages of our session. Dashed: rivals posted over HTTP.",
)


def draw_both(found: Document, path: Path) -> list[Path]:
    """The payload's figure at `path`, and beside it the wire's."""
    wire = path.with_name(f"{path.stem}-wire{path.suffix}")
    draw(found, PAYLOAD, path)
    draw(found, WIRE, wire)
    return [path, wire]


def draw(found: Document, view: View, path: Path) -> None:
    """One view, on a logarithmic axis of bytes."""
    with figure(path, WIDTH, HEIGHT, _title(found, view), f"{_pictures(found)}\n{view.note}") as drawn:
        axes = drawn.subplots()
        lines = {name: [r for r in found["rivals"] if r["rival"] == name] for name in COLOURS}
        _limit(axes, found, view)
        _band(axes, found, view)
        ends = {name: _rival(axes, name, rows, view) for name, rows in lines.items() if rows}
        _ours(axes, found["ours"], view)
        _labels(axes, ends)


def _pictures(found: Document) -> str:
    what, others = f"{found['n']:,} pictures of {found['data']}", f"{found['calibrated_on']:,} others"
    return f"{what}; settings were chosen on {others}. Band: the top-1 that both reach."


def _title(found: Document, view: View) -> str:
    row = _ratio(found, view)
    if row is None:
        return f"{found['checkpoint']}: accuracy against bytes"
    return (
        f"At equal top-1: {row['ratio']:.2f} times the {view.what} of the best rival "
        f"({row['lower']:.2f} to {row['upper']:.2f})"
    )


def _ratio(found: Document, view: View) -> Document | None:
    rows = (r for r in found["ratios"] if (r["rival"], r["measure"]) == (BEST, view.ratio))
    return next(rows, None)


def _curve(rows: Sequence[Document], measure: str) -> list[Document]:
    return [p.settings for p in frontier(Point(row[measure], row["top1"], row) for row in rows)]


def _limit(axes: Axes, found: Document, view: View) -> None:
    """Axes that hold ours, and rivals from a little below it."""
    everyone = [*found["ours"], *found["rivals"]]
    low = min(row["top1"] for row in found["ours"]) - BELOW
    shown = [
        row[key]
        for row in everyone
        if row["top1"] >= low
        for key in (view.measure, view.second)
        if key in row
    ]
    axes.set(xscale="log", xlabel=view.axis, ylabel="top-1")
    axes.set(xlim=(0.85 * min(shown), 1.1 * max(shown)), ylim=(low, max(r["top1"] for r in everyone) + ABOVE))
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    percent(axes, "y")


def _band(axes: Axes, found: Document, view: View) -> None:
    row = _ratio(found, view)
    if row is not None:
        axes.axhspan(row["from_top1"], row["to_top1"], color=CASCADE, alpha=0.06, linewidth=0)


def _rival(axes: Axes, name: str, rows: Sequence[Document], view: View) -> tuple[float, float]:
    """Draw; where the line ends, in data."""
    if name in DASHED:
        second = _curve(rows, view.second)
        _line(axes, second, view.second, COLOURS[name], linestyle=(0, (4, 3)), linewidth=0.9)
    curve = _curve(rows, view.measure)
    _line(axes, curve, view.measure, COLOURS[name], marker="o", markersize=3.5, linewidth=1.5)
    return curve[-1][view.measure], curve[-1]["top1"]


def _ours(axes: Axes, rows: Sequence[Document], view: View) -> None:
    """Ours, and beside its points the quality where it begins."""
    curve = _curve(rows, view.measure)
    _line(axes, curve, view.measure, CASCADE, marker="o", markersize=5.5, linewidth=2.8, zorder=5)
    begin = {row["quality"]: row for row in reversed(curve)}
    style: dict[str, Any] = {"textcoords": "offset points", "color": CASCADE, "ha": "right", "zorder": 6}
    for quality, row in begin.items():
        at = row[view.measure], row["top1"]
        axes.annotate(str(quality), at, (-5, 4), fontsize=9, **style)
    middle = curve[len(curve) // 2]
    at = middle[view.measure], middle["top1"]
    axes.annotate("Overtone,\nby quality", at, (-18, 12), fontsize=11, fontweight="bold", **style)


def _line(axes: Axes, curve: Sequence[Document], measure: str, colour: str, **style: Any) -> None:
    axes.plot([r[measure] for r in curve], [r["top1"] for r in curve], color=colour, **style)


def _labels(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Names in a column at the right, as high as their lines end where there is room, and leaders to them."""
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda name: ends[name][1])
    heights = spread([(ends[name][1] - low) / (high - low) for name in order], APART)
    for name, height in zip(order, heights, strict=True):
        axes.annotate(
            name,
            ends[name],
            (1.03, height),
            textcoords="axes fraction",
            color=COLOURS[name],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLOURS[name], "linewidth": 0.6, "alpha": 0.6},
        )


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Ascending heights from 0 to 1, moved as little as two passes can so that they are so far apart."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(0.0, height, moved[-1] + apart if moved else 0.0))
    top = 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], top)
        top = moved[i] - apart
    return moved
