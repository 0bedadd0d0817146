"""The figure of `overtone describe`: the decoded images, and the energy and bits of every channel."""

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

from overtone.describe.description import RGB, Channel, Description, ImageDescription
from overtone.describe.figure_style import BOTH, FAINT, INK, LOW, figure

COLOURS = {"low": LOW, "high": BOTH}
# Inches.
WIDTH, CELL, CAPTION, CHART, MARGIN = 10.5, 2.1, 0.6, 2.2, 0.9
# The colour of bits that belong to no channel.
OVERHEAD = "#B8B8B8"
# Room for the overheads of so many layers on every chart.
LAYERS = 3
# Smaller mean squares are drawn as this: a logarithmic axis has no zero.
FLOOR = 1.0
NOTE = (
    "Channels in coding order: component, then vertical and horizontal frequency.   "
    "JPEG: the crop at the side that has the same content, quality 75, optimised."
)


def draw(title: str, image: ImageDescription, path: Path) -> None:
    """Write a PNG: one quality with the bits of every channel, or several side by side."""
    several = len(image.descriptions) > 1
    layers = len(image.descriptions[0].layers)
    rows, columns = (layers, len(image.descriptions) + 1) if several else (1, layers + 1)
    width = max(WIDTH, CELL * columns)
    views = rows * (width / columns + CAPTION)
    with figure(path, width, views + 2 * CHART + MARGIN, title, NOTE) as drawn:
        halves: Any = drawn.subfigures(2, 1, height_ratios=(views, 2 * CHART))
        (_side_by_side if several else _stages)(halves[0], image)
        energies, bits = halves[1].subplots(2, 1)
        _energies(energies, image.descriptions)
        (_curves if several else _bars)(bits, image.descriptions)


def _stages(drawn: SubFigure, image: ImageDescription) -> None:
    """The images that are decoded after each layer, and the original, in a row."""
    found, side = image.descriptions[0], len(image.original)
    quarter, half, full = image.jpeg_bytes
    seen = _seen(found)
    stages = [
        (
            f"decoded from {name}" if number == 0 else name,
            rgb,
            colour,
            f"{sent:,} bytes",
            (half, side // 2) if colour == BOTH else (quarter, side // 4),
        )
        for number, (name, rgb, colour, sent) in enumerate(seen)
    ]
    stages.append(("the original crop", image.original, INK, "", (full, side)))
    for axes, (name, rgb, colour, cost, (jpeg, jpeg_side)) in zip(
        drawn.subplots(1, len(stages)), stages, strict=True
    ):
        _view(axes, rgb, colour)
        axes.set_title(name, color=colour, weight="bold")
        below = {"transform": axes.transAxes, "va": "top"}
        axes.text(0, -0.025, cost, below, color=colour, weight="bold", size=12)
        same = f"as a JPEG of {jpeg_side} px: {jpeg:,} bytes"
        axes.text(0, -0.11 if cost else -0.03, same, below, color=FAINT)


def _seen(found: Description) -> list[tuple[str, RGB, str, int]]:
    """For the layers up to each one: their name, the decoded image, its colour, and their bytes."""
    high = [any(layer.band == "high" for layer in found.layers[: n + 1]) for n in range(len(found.layers))]
    colours = [BOTH if known else LOW for known in high]
    return list(zip(found.names, found.seen, colours, found.payload_bytes, strict=True))


def _side_by_side(drawn: SubFigure, image: ImageDescription) -> None:
    """The original, then a column for each quality, with a row for each layer."""
    layers = len(image.descriptions[0].layers)
    grid = drawn.subplots(layers, len(image.descriptions) + 1)
    _view(grid[0][0], image.original, INK)
    grid[0][0].set_title("original", weight="bold")
    side = len(image.original)
    jpegs = zip((side, side // 2, side // 4), reversed(image.jpeg_bytes), strict=True)
    lines = ("as a JPEG", *(f"of {pixels} px: {size:,} bytes" for pixels, size in jpegs))
    for row in grid[1:]:
        row[0].axis("off")
    grid[1][0].text(0, 1, "\n".join(lines), va="top", color=FAINT, linespacing=1.6)
    for column, found in zip(grid.T[1:], image.descriptions, strict=True):
        column[0].set_title(f"quality {found.quality}", weight="bold")
        for axes, (name, rgb, colour, size) in zip(column, _seen(found), strict=True):
            _view(axes, rgb, colour)
            axes.set_xlabel(f"{name}: {size:,} bytes", color=colour)


def _view(axes: Axes, rgb: RGB, colour: str) -> None:
    axes.imshow(rgb)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=2)


def _energies(axes: Axes, descriptions: Sequence[Description]) -> None:
    """Mean squares on a logarithmic axis; a line across each bar shows the part that is lost to quantisation."""
    channels, shades = descriptions[0].channels, _shades(descriptions)
    energy = [max(c.energy, FLOOR) for c in channels]
    axes.bar(range(len(channels)), energy, 0.75, color=_colours(channels), alpha=0.55 if shades else 1)
    places = np.arange(len(channels))
    for found, shade in zip(descriptions, shades or [INK], strict=True):
        lost = [max(c.lost, FLOOR) for c in found.channels]
        axes.hlines(lost, places - 0.42, places + 0.42, color=shade, linewidth=1.8)
    axes.set_yscale("log")
    axes.set_ylim(bottom=FLOOR)
    axes.set_title("Energy: mean square of a channel's coefficients")
    _label(axes, channels)
    _legend(axes, Line2D([], [], color=INK, linewidth=1.8, label="lost to quantisation"))


def _bars(axes: Axes, descriptions: Sequence[Description]) -> None:
    """The bits of one description, the overhead last, each bar with its value."""
    found = descriptions[0]
    count = len(found.channels)
    overhead = [8 * payload.header_bytes + payload.end_bits for payload in found.layers]
    heights = [*(c.bits for c in found.channels), *overhead]
    places = [*range(count), *(count + 0.5 + i for i in range(len(overhead)))]
    axes.bar(places, heights, 0.75, color=[*_colours(found.channels), *[OVERHEAD] * len(overhead)])
    # Lines across a bar divide what its layers take.
    for x, c in enumerate(found.channels):
        for bits in np.cumsum([bits for bits in c.layer_bits if bits])[:-1]:
            axes.hlines(bits, x - 0.375, x + 0.375, color="white", linewidth=1.2)
    for x, bits in zip(places, heights, strict=True):
        text = f"{bits:,.0f}" if bits >= 1 else f"{bits:.1g}"
        axes.annotate(text, (x, bits), (0, 2), textcoords="offset points", ha="center", size=8)
    sizes = " + ".join(f"{layer.payload_bytes:,}" for layer in found.layers)
    axes.set_title(f"Bits in the stream: all bars add up to 8 x ({sizes}) bytes")
    _label(axes, found.channels, tuple("rest\n" + layer.name.replace(" ", "\n") for layer in found.layers))
    _legend(axes, Patch(color=OVERHEAD, label="header and coder's final state"))


def _curves(axes: Axes, descriptions: Sequence[Description]) -> None:
    """The bits of several descriptions, a line each."""
    for found, shade in zip(descriptions, _shades(descriptions), strict=True):
        bits = [c.bits for c in found.channels]
        axes.plot(bits, "o-", color=shade, linewidth=1.2, markersize=4, label=f"quality {found.quality}")
    axes.set_ylim(bottom=0)
    axes.set_title("Bits in the stream")
    _label(axes, descriptions[0].channels)
    axes.legend(loc="upper right", ncols=2)


def _label(axes: Axes, channels: Sequence[Channel], more: tuple[str, ...] = ()) -> None:
    """One label per channel in its band's colour, and the same room on every chart."""
    count = len(channels)
    names = [c.label.replace(" ", "\n") for c in channels]
    places = [*range(count), *(count + 0.5 + i for i in range(len(more)))]
    axes.set_xticks(places, [*names, *more], size=9)
    for text, colour in zip(axes.get_xticklabels(), [*_colours(channels), *[FAINT] * len(more)], strict=True):
        text.set_color(colour)
    axes.set_xlim(-0.7, count + 0.1 + LAYERS)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
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
