"""Heat maps drawn as in Xu et al. (CVPR 2020), section 3.3: a grid of 8 x 8 channels per colour component."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from experiments.gate import HeatMap
from overtone.describe.figure_style import BOTH, FAINT, INK, figure, percent
from overtone.frequency.channels import BLOCK, COUNT, SETS

COMPONENTS = ("Y", "Cb", "Cr")
CELLS = BLOCK * BLOCK
# From bright to dark, as in the paper.
COLOURS = colormaps["YlGnBu"]
SCALE = Normalize(0, 1)
NOTE = (
    "Colour: share of images that open the channel. Framed: the paper's sets of 6 (solid) and 24 (dashed).\n"
    "Numbers: the channel's index, 64 · component + 8 · vertical + horizontal frequency."
)


def draw_sweep(heat_maps: Sequence[HeatMap], path: Path) -> None:
    """A row of three grids per lambda, in ascending order."""
    ordered = sorted(heat_maps, key=lambda h: h.cost)
    title = f"Which of {COUNT} frequency channels a network asks for, as open channels cost more"
    with figure(path, 12.5, 1.4 + 3.3 * len(ordered), title, NOTE) as drawn:
        rows = drawn.subplots(len(ordered), len(COMPONENTS), squeeze=False)
        for heat_map, row in zip(ordered, rows, strict=True):
            for component, axes in enumerate(row):
                draw_component(axes, heat_map, component)
            text = f"λ = {heat_map.cost:g}\n\n{heat_map.mean_open:.1f} open\ntop-1 {heat_map.top1:.1%}\n\n"
            text += f"{heat_map.n:,} images\nof {heat_map.data}"
            row[0].set_ylabel(text, rotation=0, ha="right", va="center", labelpad=14, linespacing=1.4)
        for axes, name in zip(rows[0], COMPONENTS, strict=True):
            axes.set_title(name, fontweight="bold")
        scale = ScalarMappable(SCALE, COLOURS)
        bar = drawn.colorbar(scale, ax=list(rows.flat), fraction=0.03, pad=0.015, aspect=35)
        bar.set_label("share of images", color=FAINT)
        percent(bar.ax, "y")


def draw_component(axes: Axes, heat_map: HeatMap, component: int) -> None:
    """The 64 channels of one component: vertical frequency downwards, horizontal frequency to the right."""
    first = component * CELLS
    shares = np.array(heat_map.open[first : first + CELLS]).reshape(BLOCK, BLOCK)
    axes.grid(False)
    axes.imshow(shares, cmap=COLOURS, norm=SCALE)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for cell, share in enumerate(shares.flat):
        v, u = divmod(cell, BLOCK)
        dark = SCALE(share) > 0.5
        axes.text(
            u, v, str(first + cell), color="white" if dark else INK, fontsize=8, ha="center", va="center"
        )
        for count, style, size in ((24, "dashed", 0.92), (6, "solid", 0.78)):
            if first + cell in SETS[count]:
                corner = (u - size / 2, v - size / 2)
                frame = Rectangle(
                    corner, size, size, fill=False, edgecolor=BOTH, linestyle=style, linewidth=1.3
                )
                axes.add_patch(frame)
