"""The heat map of a gate drawn as in Xu et al. (CVPR 2020), section 3.3: a grid of 8 x 8 a component."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from overtone.frequency.channels import BLOCK, COUNT, SETS
from overtone.training.heatmap import HeatMap
from overtone.training.style import BOTH, FAINT, INK, figure, percent

COMPONENTS = ("Y", "Cb", "Cr")
CELLS = BLOCK * BLOCK
# From bright to dark, as in the paper.
COLOURS = colormaps["YlGnBu"]
SCALE = Normalize(0, 1)
NOTE = "Colour: pictures that open the channel. Outlined: the paper's sets of 6 (solid) and 24 (dashed).\n"


def zigzag() -> tuple[int, ...]:
    """The place in JPEG's zig-zag order (ITU-T T.81, figure A.6) of each of the 64 frequencies, row-major."""

    def along(cell: int) -> tuple[int, int]:
        v, u = divmod(cell, BLOCK)
        return u + v, v if (u + v) % 2 else u

    ordered = sorted(range(CELLS), key=along)
    return tuple(ordered.index(cell) for cell in range(CELLS))


def draw(heatmap: HeatMap, path: Path) -> None:
    """One heat map: channel, zig-zag place and share in each cell."""
    note = (
        f"{NOTE}Large: the channel's index. Small: its place in zig-zag order, by which the paper names it."
    )
    reached = (
        f"{heatmap.mean_open:.1f} open, top-1 {heatmap.top1:.1%}, {heatmap.n:,} pictures of {heatmap.data}"
    )
    title = f"Channels that the gate opens at λ = {heatmap.cost:g}: {reached}"
    with figure(path, 15, 6.1, title, note) as drawn:
        row = drawn.subplots(1, len(COMPONENTS))
        for component, axes in enumerate(row):
            _grid(axes, heatmap, component)
            axes.set_title(COMPONENTS[component], fontweight="bold")
            for cell, place in enumerate(zigzag()):
                v, u = divmod(cell, BLOCK)
                shade = _ink(heatmap.open[component * CELLS + cell])
                axes.text(u + 0.42, v + 0.36, str(place), color=shade, fontsize=6, ha="right", alpha=0.75)
        _bar(drawn, list(row))


def draw_sweep(heatmaps: Sequence[HeatMap], path: Path) -> None:
    """One row of three grids a lambda, the cheapest first."""
    ordered = sorted(heatmaps, key=lambda h: h.cost)
    note = f"{NOTE}Numbers: the channel's index, 64 · component + 8 · vertical + horizontal frequency."
    title = f"Which of {COUNT} frequency channels a network asks for, as open channels cost more"
    with figure(path, 12.5, 1.4 + 3.3 * len(ordered), title, note) as drawn:
        rows = drawn.subplots(len(ordered), len(COMPONENTS), squeeze=False)
        for heatmap, row in zip(ordered, rows, strict=True):
            for component, axes in enumerate(row):
                _grid(axes, heatmap, component)
            said = f"λ = {heatmap.cost:g}\n\n{heatmap.mean_open:.1f} open\ntop-1 {heatmap.top1:.1%}\n\n"
            said += f"{heatmap.n:,} pictures\nof {heatmap.data}"
            row[0].set_ylabel(said, rotation=0, ha="right", va="center", labelpad=14, linespacing=1.4)
        for axes, name in zip(rows[0], COMPONENTS, strict=True):
            axes.set_title(name, fontweight="bold")
        _bar(drawn, list(rows.flat))


def _grid(axes: Axes, heatmap: HeatMap, component: int) -> None:
    """One component's 64 channels: vertical frequency down, horizontal across."""
    first = component * CELLS
    shares = np.array(heatmap.open[first : first + CELLS]).reshape(BLOCK, BLOCK)
    axes.grid(False)
    axes.imshow(shares, cmap=COLOURS, norm=SCALE)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    between = np.arange(BLOCK + 1) - 0.5
    axes.hlines(between, -0.5, BLOCK - 0.5, color="white", linewidth=1.2)
    axes.vlines(between, -0.5, BLOCK - 0.5, color="white", linewidth=1.2)
    for cell, share in enumerate(shares.flat):
        v, u = divmod(cell, BLOCK)
        axes.text(u, v, str(first + cell), color=_ink(share), fontsize=8, ha="center", va="center")
    for count, style in ((24, (0, (3, 1.5))), (6, "solid")):
        wanted = {c - first for c in SETS[count] if c // CELLS == component}
        axes.add_collection(
            LineCollection(_outline(wanted), colors=BOTH, linewidths=2.2, linestyles=[style], clip_on=False)
        )


def _ink(share: float) -> str:
    """Dark on bright cells, white on dark ones."""
    red, green, blue, _ = COLOURS(SCALE(share))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


Segment = tuple[tuple[float, float], tuple[float, float]]


def _outline(cells: set[int]) -> list[Segment]:
    """The edges between cells of the set and others."""
    inside = np.zeros((BLOCK + 2, BLOCK + 2), dtype=bool)
    for cell in cells:
        v, u = divmod(cell, BLOCK)
        inside[v + 1, u + 1] = True
    upright = np.argwhere(inside[:, 1:] != inside[:, :-1])
    level = np.argwhere(inside[1:] != inside[:-1])
    edges: list[Segment] = [((u - 0.5, v - 1.5), (u - 0.5, v - 0.5)) for v, u in upright.tolist()]
    return edges + [((u - 1.5, v - 0.5), (u - 0.5, v - 0.5)) for v, u in level.tolist()]


def _bar(drawn: Figure, over: list[Axes]) -> None:
    """The scale of shares at the right."""
    bar = drawn.colorbar(ScalarMappable(SCALE, COLOURS), ax=over, fraction=0.03, pad=0.015, aspect=35)
    bar.outline.set_visible(False)
    bar.set_label("share of pictures", color=FAINT)
    percent(bar.ax, "y")
