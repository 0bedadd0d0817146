"""The figures of `overtone bench bytes`: accuracy against bytes, for payloads and for bytes on the wire.

Every line is labelled on the right, in its colour. The band is the range of accuracy over which the ratio is
averaged. On the wire, baselines have a second, dashed line: posted over HTTP.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from overtone.benchmarks.curve.comparison import BEST
from overtone.benchmarks.curve.delta_rate import Point, frontier
from overtone.benchmarks.plot_style import apart
from overtone.describe.figure_style import CASCADE, figure, percent

Document = Mapping[str, Any]

COLOURS = {
    "JPEG": "#E69F00",
    "WebP": "#0072B2",
    "AVIF": "#D55E00",
    "AVIF, slowest": "#F0A070",
    "sent again": "#222222",
    "regions sent again": "#222222",
    "JPEG XL": "#CC79A7",
    "progressive JPEG, cut": "#8A8A8A",
    "24 channels at once": "#56B4E9",
}
# Those whose second line is drawn; the others' would tell nothing more.
DASHED = ("JPEG", "WebP", "AVIF")
TICKS = (100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 4000, 6000, 10000, 15000, 20000)
# The least distance of two ticks whose numbers do not touch, as a share of the axis.
TICK_DISTANCE = 0.075
WIDTH, HEIGHT = 8.0, 5.2
# The least distance of two labels, of the height.
APART = 0.055
# Of the accuracy, above the highest point and below Overtone's lowest.
ABOVE, BELOW = 0.01, 0.05


class View(NamedTuple):
    """A figure: its measure, the columns of the solid and of the dashed lines, and its texts.

    `accuracy` is the key of the accuracy that is drawn against bytes, and `label` its axis label.
    """

    measure: str
    column: str
    dashed: str | None
    what: str
    axis: str
    note: str
    accuracy: str = "top1"
    label: str = "top-1"


PAYLOAD = View("payload", "bytes", None, "bytes", "mean payload bytes per image", "")
WIRE = View(
    "wire",
    "wire",
    "post",
    "bytes on the wire",
    "mean bytes on the wire per image, both ways, TCP/IP headers included",
    "All in messages of Overtone's session. Dashed: baselines posted over HTTP.",
)


def draw_both(found: Document, path: Path) -> list[Path]:
    """The payload's figure at `path`, and beside it the wire's."""
    wire = path.with_name(f"{path.stem}-wire{path.suffix}")
    draw(found, PAYLOAD, path)
    draw(found, WIRE, wire)
    return [path, wire]


def draw(found: Document, view: View, path: Path) -> None:
    """One view, on a logarithmic axis of bytes."""
    with baselines(found, view, path) as axes:
        _overtone(axes, found["ours"], view)


@contextmanager
def baselines(found: Document, view: View, path: Path) -> Iterator[Axes]:
    """Draw the baselines of a view; the `with` block adds Overtone's lines, and then the file is written."""
    rows = [r for r in found["ratios"] if (r["rival"], r["measure"]) == (BEST, view.measure)]
    title = f"{found['checkpoint']}: {'accuracy' if view.accuracy == 'top1' else view.label} against bytes"
    for row in rows:
        ratio = f"{row['ratio']:.2f} times the best baseline's {view.what}"
        title = f"At equal {view.label}: {ratio} ({row['lower']:.2f} to {row['upper']:.2f})"
    images = (
        f"{found['n']:,} images of {found['data']}; settings were chosen on {found['calibrated_on']:,} others. "
        f"Band: the {view.label} that both reach."
    )
    with figure(path, WIDTH, HEIGHT, title, f"{images}\n{view.note}".strip()) as drawn:
        axes = drawn.subplots()
        each = {name: [r for r in found["rivals"] if r["rival"] == name] for name in COLOURS}
        _limit(axes, found, view)
        for row in rows:
            low, high = (row[f"{end}_{view.accuracy}"] for end in ("from", "to"))
            axes.axhspan(low, high, color=CASCADE, alpha=0.06, linewidth=0)
        ends = {name: _baseline(axes, name, own, view) for name, own in each.items() if own}
        yield axes
        _labels(axes, ends)


def _limit(axes: Axes, found: Document, view: View) -> None:
    """Set the axes' limits: all of Overtone's points, and baselines from a little below them."""
    everyone = [*found["ours"], *found["rivals"]]
    low = min(row[view.accuracy] for row in found["ours"]) - BELOW
    columns = filter(None, (view.column, view.dashed))
    shown = [row[column] for column in columns for row in everyone if row[view.accuracy] >= low]
    high = max(row[view.accuracy] for row in everyone) + ABOVE
    axes.set(xscale="log", xlabel=view.axis, ylabel=view.label)
    axes.set(xlim=(0.85 * min(shown), 1.1 * max(shown)), ylim=(low, high))
    axes.xaxis.set_major_locator(FixedLocator(_ticks(*axes.get_xlim())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    percent(axes, "y")


def _ticks(low: float, high: float) -> list[float]:
    """Those of `TICKS` on a logarithmic axis from `low` to `high` that leave room for their numbers."""
    kept: list[float] = []
    for tick in TICKS:
        if low <= tick <= high and (not kept or tick / kept[-1] >= (high / low) ** TICK_DISTANCE):
            kept.append(tick)
    return kept


def _baseline(axes: Axes, name: str, rows: Sequence[Document], view: View) -> tuple[float, float]:
    """Draw a baseline; return the end of its line in data coordinates."""
    if view.dashed and name in DASHED:
        dashed = view._replace(column=view.dashed)
        line(axes, rows, dashed, COLOURS[name], linestyle=(0, (4, 3)), linewidth=0.9)
    return line(axes, rows, view, COLOURS[name], marker="o", markersize=3.5, linewidth=1.5)[-1]


def _overtone(axes: Axes, rows: Sequence[Document], view: View) -> None:
    """Overtone's line, with each quality's number where it begins."""
    points = line(axes, rows, view, CASCADE, marker="o", markersize=5.5, linewidth=2.8, zorder=5)
    qualities = {(row[view.column], row[view.accuracy]): row["quality"] for row in rows}
    style: dict[str, Any] = {"textcoords": "offset points", "color": CASCADE, "ha": "right", "zorder": 6}
    for quality, at in {qualities[at]: at for at in reversed(points)}.items():
        axes.annotate(str(quality), at, (-5, 4), fontsize=9, **style)
    middle = points[len(points) // 2]
    axes.annotate("Overtone,\nby quality", middle, (-18, 12), fontsize=11, fontweight="bold", **style)


def line(
    axes: Axes, rows: Sequence[Document], view: View, colour: str, **style: Any
) -> list[tuple[float, float]]:
    """Draw the frontier by the view's columns; its points."""
    curve = frontier(Point(row[view.column], row[view.accuracy]) for row in rows)
    axes.plot([p.bytes for p in curve], [p.accuracy for p in curve], color=colour, **style)
    return [(p.bytes, p.accuracy) for p in curve]


def _labels(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Names in a column on the right, near the height where their lines end, with leaders to them."""
    low, high = axes.get_ylim()
    heights = apart([(accuracy - low) / (high - low) for _, accuracy in ends.values()], APART)
    for (name, end), height in zip(ends.items(), heights, strict=True):
        axes.annotate(
            name,
            end,
            (1.03, height),
            textcoords="axes fraction",
            color=COLOURS[name],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLOURS[name], "linewidth": 0.6, "alpha": 0.6},
        )
