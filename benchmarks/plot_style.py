"""How the report's figures look: few colours, labels at what they name, SVG that follows the page's theme."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from overtone.benchmarks.link.profiles import PROFILES

# Names are variables of the page's style sheet, which has another value for each in the dark.
INK, MUTED, GRID, PAPER = "#1d2330", "#68707f", "#e2e0d9", "#fefdfb"
OURS, JPEG, WEBP, WARM, PALE = "#c8452f", "#7d8799", "#2b7a78", "#e0a03b", "#f3d3c8"
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    OURS: "ours",
    JPEG: "jpeg",
    WEBP: "webp",
    WARM: "warm",
    PALE: "pale",
}
WIDTH = 6.0
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}
PNG_DPI = 160
LINK_NAMES = {"nb-iot": "NB-IoT", "lte-m": "LTE-M", "3g": "3G", "lte": "LTE", "wifi": "Wi-Fi"}
MOST_TICKS = 7


@contextmanager
def drawing(height: float, **options: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure of the report's width and its axes (of `subplots`), in the report's style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(**options)


def save(figure: Figure, name: str, folder: Path) -> str:
    """Write a PNG, and give the same picture as SVG for the page."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.png", dpi=PNG_DPI)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _themed(buffer.getvalue())


def _themed(svg: str) -> str:
    """Ready to stand in a page: as wide as there is room, in the page's fonts and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[^"]*pt"', "", re.sub(r' height="[^"]*pt"', "", svg, count=1), count=1)
    svg = svg.replace("'DejaVu Sans'", "var(--sans)")
    # What it stands on is the page.
    svg = re.sub(rf"fill: {PAPER}(?=[^\"]*\"/>\s*</g>)", "fill: none", svg, count=1)
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def colour(title: str) -> str:
    """Of a contender, everywhere the same."""
    if title.startswith("Overtone"):
        return OURS
    return WEBP if title.startswith("WebP") else JPEG


def milliseconds(value: float) -> str:
    """As people say it."""
    return f"{value:,.0f} ms" if value < 999.5 else f"{value / 1000:.1f} s"


def link_name(name: str) -> str:
    """As people write it."""
    return LINK_NAMES.get(name, name.capitalize())


def link_title(name: str) -> str:
    """A link, its rate and its round trip."""
    link, called = PROFILES[name], link_name(name)
    return f"{called} · {link.up}, {1e3 * link.rtt:g} ms" if link.rtt else called


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


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Places for labels of these values, as near as can be and no two nearer than `gap`."""
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
