"""How the figures of a sweep look, in its report and in the docs: few colours, labels next to what they name."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from overtone.link.profiles import PROFILES

# The same values as in the style sheet of the report.
INK, MUTED, GRID, PAPER = "#1d2330", "#68707f", "#e2e0d9", "#fefdfb"
OURS, JPEG, WEBP, WARM = "#c8452f", "#7d8799", "#2b7a78", "#e0a03b"
WIDTH = 6.0
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "svg.fonttype": "none",
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}
PNG_DPI = 160
LINK_NAMES = {"nb-iot": "NB-IoT", "lte-m": "LTE-M", "3g": "3G", "lte": "LTE", "wifi": "Wi-Fi"}
MOST_TICKS = 7


@contextmanager
def drawing(height: float, **options: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of the report's width in inches, and its axes (with the options of `subplots`)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(**options)


def save(figure: Figure, name: str, folder: Path) -> str:
    """Write NAME.png; the same figure as an SVG element for a page, which sets its width and font."""
    figure.savefig(folder / f"{name}.png", dpi=PNG_DPI, facecolor=PAPER)
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor="none", metadata=nothing)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def note(axes: Any, text: str, at: tuple[Any, Any], offset: tuple[float, float], **style: Any) -> None:
    """Write a text beside a point, its offset in points."""
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **style)


def logarithmic(axes: Any, which: str, low: float, high: float, unit: str = "") -> None:
    """Give an axis ("x" or "y") a logarithmic scale from `low` to `high`; `unit` is "ms" or empty."""
    marks = decades(low, high)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = getattr(axes, f"{which}axis")
    axis.set_ticks(marks, [tick(mark) if unit else f"{mark:,.0f}" for mark in marks])
    axis.set_minor_locator(NullLocator())


def decades(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 times powers of ten, or 1 and 3 if those are many."""
    for steps in ((1, 2, 5), (1, 3)):
        found = [m * 10.0**e for e in range(6) for m in steps if low <= m * 10**e <= high]
        if len(found) <= MOST_TICKS:
            break
    return found


def tick(value: float) -> str:
    """Milliseconds beside an axis."""
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def milliseconds(value: float) -> str:
    """Milliseconds in a text."""
    return f"{value:,.0f} ms" if value < 999.5 else f"{value / 1000:.1f} s"


def colour(title: str) -> str:
    """The colour of a contender, the same in all figures."""
    if title.startswith("Overtone"):
        return OURS
    return WEBP if title.startswith("WebP") else JPEG


def link_name(name: str) -> str:
    """A link profile's name as it is usually written."""
    return LINK_NAMES.get(name, name.capitalize())


def link_title(name: str) -> str:
    """A link's name, its rate and its round trip."""
    link = PROFILES[name]
    return f"{link_name(name)} · {link.up}, {1e3 * link.rtt:g} ms" if link.rtt else link_name(name)


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Places for labels of these values, as near as possible with at least `gap` between any two."""
    order = sorted(range(len(values)), key=values.__getitem__)
    groups: list[list[int]] = [[i] for i in order]

    def span(group: list[int]) -> tuple[float, float]:
        middle = sum(values[i] for i in group) / len(group)
        return middle - gap * len(group) / 2, middle + gap * len(group) / 2

    number = 0
    while number < len(groups) - 1:
        if span(groups[number])[1] > span(groups[number + 1])[0]:
            groups[number : number + 2] = [groups[number] + groups[number + 1]]
            number = max(0, number - 1)
        else:
            number += 1
    placed = {i: span(group)[0] + gap * (place + 0.5) for group in groups for place, i in enumerate(group)}
    return [placed[i] for i in range(len(values))]
