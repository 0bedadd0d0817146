"""The figure of the economy of bytes: each contender's images per second, per megabyte, and per joule, on each link."""

from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from overtone.benchmarks import plot_style as style
from overtone.benchmarks.sweep.economy import FULL, OVER_REST, Economy, LinkEconomy, economies, titles
from overtone.benchmarks.sweep.study import Study

# Attributes of `Economy`, and the panels' titles.
PANELS = (
    ("per_second", "images/s, streamed"),
    ("per_megabyte", "images per MB"),
    ("streamed", "mJ, streamed"),
)
OFFSET = 0.15
PALE = 0.35
MOST_TICKS = 4


def economy(study: Study, folder: Path) -> str | None:
    """A panel for each quantity that any contender has, a row for each link, a mark for each contender."""
    found = economies(study)
    panels = [(name, title) for name, title in PANELS if _values(found, name)]
    if not panels:
        return None
    contenders = titles(found)
    options = {"ncols": len(panels), "sharey": True, "squeeze": False}
    with style.drawing(1.2 + 0.62 * len(found), **options) as (figure, grid):
        for axes, (name, title) in zip(grid[0], panels, strict=True):
            _panel(axes, found, contenders, name)
            axes.set_title(title)
        axes = grid[0, 0]
        axes.set_yticks(range(len(found)), [style.link_name(each.link) for each in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        marks = [Line2D([], [], label=title, **_mark(title)) for title in contenders]
        figure.legend(handles=marks, loc="outside lower left", ncols=3, handletextpad=0.3, columnspacing=1.2)
        return style.save(figure, "economy", folder)


def _values(found: list[LinkEconomy], name: str) -> list[float]:
    every: list[Economy] = [economy for each in found for economy in each.contenders.values()]
    return [value for value in (getattr(economy, name) for economy in every) if value is not None]


def _panel(axes: Any, found: list[LinkEconomy], contenders: list[str], name: str) -> None:
    values = _values(found, name)
    low, high = min(values) / 1.6, 1.6 * max(values)
    for y, each in enumerate(found):
        for place, title in enumerate(contenders):
            value = getattr(each.contenders.get(title, Economy()), name)
            if value is not None:
                at = y + (place - (len(contenders) - 1) / 2) * OFFSET
                axes.plot(value, at, alpha=_alpha(each.contenders[title], name), **_mark(title))
        if y:
            axes.axhline(y - 0.5, color=style.GRID, linewidth=0.8, zorder=0)
    axes.set(xscale="log", xlim=(low, high))
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{mark:,g}" for mark in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", visible=False)


def _alpha(economy: Economy, name: str) -> float:
    """The opacity of a mark: faint if the stream did not fill its link, and so says little about the link."""
    return PALE if name in ("per_second", "streamed") and (economy.busy or 0.0) < FULL else 1.0


def _ticks(low: float, high: float) -> list[float]:
    """Ticks of an axis, fewer than elsewhere because the panels are narrow."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**e for e in range(-3, 7) for step in steps if low <= step * 10.0**e <= high]
        if len(found) <= MOST_TICKS:
            break
    return found


def _mark(title: str) -> dict[str, Any]:
    """The style of a mark: a square is REST, hollow is on demand."""
    tint = style.colour(title)
    shape = "s" if title in OVER_REST.values() else "o"
    fill = style.PAPER if title.endswith("on demand") else tint
    edge = {"markeredgecolor": tint, "markeredgewidth": 1.6}
    return {"marker": shape, "linestyle": "", "markersize": 6, "color": tint, "markerfacecolor": fill, **edge}
