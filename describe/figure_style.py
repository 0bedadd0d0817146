"""The style of all figures, with colours that colour-blind readers can distinguish (Okabe and Ito 2008)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

LOW, BOTH, CASCADE = "#0072B2", "#D55E00", "#009E73"
INK, FAINT = "#222222", "#8A8A8A"
DPI = 150

_RC = {
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
}


@contextmanager
def figure(path: Path, width: float, height: float, title: str, note: str = "") -> Iterator[Figure]:
    """A figure of width x height inches, with a title and a note under it, written when the block ends."""
    with rc_context(_RC):
        drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        drawn.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        if note:
            drawn.supxlabel(note, x=0.01, ha="left", fontsize=9, color=FAINT)
        yield drawn
        drawn.savefig(path, dpi=DPI)


def percent(axes: Axes, which: str, digits: int = 0) -> None:
    """Show fractions on an axis ("x" or "y") as percentages."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:.{digits}%}")
