"""The figure of `overtone describe`: what the server sees, and what every channel holds and costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from overtone.benchmarks.codec.description import RGB, Channel, Description, Portrait
from overtone.training.style import BOTH, FAINT, INK, LOW, figure

COLOURS = {"low": LOW, "high": BOTH}
# Inches.
WIDTH, CELL, CAPTION, CHART, AROUND = 10.5, 2.1, 0.4, 2.2, 0.9
# Of the bits that are no channel's.
REST = "#B8B8B8"
# A mean square below it is drawn as if it were this: a bar needs an end, and a flat channel has no logarithm.
FLOOR = 1.0
NOTE = (
    "Channels in the order they are coded: component, then vertical and horizontal frequency.   "
    "JPEG: the crop at the side that holds as much, quality 75, optimised."
)


def draw(title: str, portrait: Portrait, path: Path) -> None:
    """One quality with the bits of every channel, or several side by side; the file is a PNG."""
    several = len(portrait.descriptions) > 1
    rows, columns = (2, len(portrait.descriptions) + 1) if several else (1, 3)
    width = max(WIDTH, CELL * columns)
    views = rows * (width / columns + CAPTION)
    with figure(path, width, views + 2 * CHART + AROUND, title, NOTE) as drawn:
        halves: Any = drawn.subfigures(2, 1, height_ratios=(views, 2 * CHART))
        top, bottom = halves
        (_side_by_side if several else _stages)(top, portrait)
        energies, bits = bottom.subplots(2, 1)
        _energies(energies, portrait.descriptions)
        (_curves if several else _bars)(bits, portrait.descriptions)


def _stages(drawn: SubFigure, portrait: Portrait) -> None:
    """Low, low and high, and the original, in a row."""
    found, side = portrait.descriptions[0], len(portrait.original)
    low, both = found.payload_bytes
    stages = (
        ("what low says", found.seen[0], LOW, f"{low:,} bytes", side // 4),
        ("what low + high say", found.seen[1], BOTH, f"{both:,} bytes", side // 2),
        ("the original crop", portrait.original, INK, "", side),
    )
    for axes, (name, rgb, colour, cost, jpeg_side), jpeg in zip(
        drawn.subplots(1, 3), stages, portrait.jpeg_bytes, strict=True
    ):
        _view(axes, rgb, colour)
        axes.set_title(name, color=colour, weight="bold")
        below = {"transform": axes.transAxes, "va": "top"}
        axes.text(0, -0.025, cost, below, color=colour, weight="bold", size=12)
        axes.text(1, -0.03, f"JPEG of {jpeg_side} px: {jpeg:,} bytes", below, ha="right", color=FAINT)


def _side_by_side(drawn: SubFigure, portrait: Portrait) -> None:
    """The original, then a column for each quality: low above, low and high below."""
    grid = drawn.subplots(2, len(portrait.descriptions) + 1)
    _view(grid[0][0], portrait.original, INK)
    grid[0][0].set_title("original", weight="bold")
    quarter, half, full = portrait.jpeg_bytes
    side = len(portrait.original)
    jpegs = ((side, full), (side // 2, half), (side // 4, quarter))
    lines = ("as a JPEG", *(f"of {pixels} px: {size:,} bytes" for pixels, size in jpegs))
    grid[1][0].axis("off")
    grid[1][0].text(0, 1, "\n".join(lines), va="top", color=FAINT, linespacing=1.6)
    for column, found in zip(grid.T[1:], portrait.descriptions, strict=True):
        column[0].set_title(f"quality {found.quality}", weight="bold")
        for axes, rgb, size, (name, colour) in zip(
            column, found.seen, found.payload_bytes, (("low", LOW), ("low + high", BOTH)), strict=True
        ):
            _view(axes, rgb, colour)
            axes.set_xlabel(f"{name}: {size:,} bytes", color=colour)


def _view(axes: Axes, rgb: RGB, colour: str) -> None:
    axes.imshow(rgb)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=2)


def _energies(axes: Axes, descriptions: Sequence[Description]) -> None:
    """Mean squares on a logarithmic axis, and as a line across each bar what quantising took of it."""
    channels, shades = descriptions[0].channels, _shades(descriptions)
    energy = [max(c.energy, FLOOR) for c in channels]
    axes.bar(range(len(channels)), energy, 0.75, color=_colours(channels), alpha=0.55 if shades else 1)
    for found, shade in zip(descriptions, shades or [INK], strict=True):
        lost = [max(c.lost, FLOOR) for c in found.channels]
        axes.hlines(
            lost, np.arange(len(lost)) - 0.42, np.arange(len(lost)) + 0.42, color=shade, linewidth=1.8
        )
    axes.set_yscale("log")
    axes.set_ylim(bottom=FLOOR)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("Energy: mean square of a channel's coefficients")
    _label(axes, channels)
    _legend(axes, Line2D([], [], color=INK, linewidth=1.8, label="lost to quantising"))


def _bars(axes: Axes, descriptions: Sequence[Description]) -> None:
    """The bits of one description, those that are no channel's at the end, each bar with its bytes."""
    found = descriptions[0]
    count = len(found.channels)
    rest = [8 * part.header_bytes + part.end_bits for part in (found.low, found.high)]
    heights = [*(c.bits for c in found.channels), *rest]
    places = [*range(count), count + 0.5, count + 1.5]
    axes.bar(places, heights, 0.75, color=[*_colours(found.channels), REST, REST])
    for x, bits in zip(places, heights, strict=True):
        axes.annotate(_short(bits), (x, bits), (0, 2), textcoords="offset points", ha="center", size=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    low, both = found.payload_bytes
    axes.set_title(f"Bits in the stream: all bars sum to 8 x {both:,} bytes, low's to 8 x {low:,}")
    _label(axes, found.channels, ("rest\nlow", "rest\nhigh"))
    _legend(axes, Patch(color=REST, label="header, and the coder's end"))


def _curves(axes: Axes, descriptions: Sequence[Description]) -> None:
    """The bits of several descriptions, a line each."""
    channels = descriptions[0].channels
    for found, shade in zip(descriptions, _shades(descriptions), strict=True):
        label = f"quality {found.quality}"
        axes.plot(
            [c.bits for c in found.channels], "o-", color=shade, linewidth=1.2, markersize=4, label=label
        )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("Bits in the stream")
    _label(axes, channels)
    axes.legend(loc="upper right", ncols=2)


def _label(axes: Axes, channels: Sequence[Channel], more: tuple[str, ...] = ()) -> None:
    """One label a channel in its band's colour, and the same room on every chart."""
    count = len(channels)
    names = [c.label.replace(" ", "\n") for c in channels]
    places = [*range(count), *(count + 0.5 + i for i in range(len(more)))]
    axes.set_xticks(places, [*names, *more], size=9)
    for text, colour in zip(axes.get_xticklabels(), [*_colours(channels), *[FAINT] * len(more)], strict=True):
        text.set_color(colour)
    axes.set_xlim(-0.7, count + 2.1)
    axes.grid(False, axis="x")
    axes.tick_params(axis="x", length=0)


def _legend(axes: Axes, last: Line2D | Patch) -> None:
    bands = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    axes.legend(handles=[*bands, last], loc="upper right", ncols=3)


def _colours(channels: Sequence[Channel]) -> list[str]:
    return [COLOURS[c.band] for c in channels]


def _shades(descriptions: Sequence[Description]) -> list[str]:
    """A shade for each of several qualities, the finest the darkest; none for one."""
    if len(descriptions) == 1:
        return []
    return [to_hex(colormaps["viridis_r"](x)) for x in np.linspace(0.1, 1, len(descriptions))]


def _short(bits: float) -> str:
    return f"{bits:,.0f}" if bits >= 1 else f"{bits:.1g}"
