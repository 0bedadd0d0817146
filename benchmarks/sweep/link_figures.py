"""The report's figures of links: latency of each contender, the same by rate, and the policies."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from overtone.benchmarks import plot_style as style
from overtone.benchmarks.sweep.study import ON_DEMAND, PolicyComparison, Pool, Study
from overtone.link.profiles import PROFILES

GAP = 0.9
PERCENTILES = (50, 95, 99)
POLICY_COLOURS = {"on_demand": style.JPEG, "ahead": style.WEBP, "at_once": style.WARM, "auto": style.OURS}
OFFSET = 0.17
# The room that the name of a link takes beside the next, as a share of a panel's width.
NAME_GAP = 0.12


def links(study: Study, folder: Path) -> str | None:
    """Latency of Overtone and of baselines on each link: median, 95th and 99th percentile."""
    rows: list[tuple[float, str, Pool]] = []
    heads: list[tuple[float, str]] = []
    y = 0.0
    for link in study.links:
        heads.append((y, style.link_title(link)))
        contenders = study.contenders(link)
        rows += [(y + i, title, pool) for i, (title, pool) in enumerate(contenders, 1)]
        y += len(contenders) + 1 + GAP
    if not rows:
        return None
    with style.drawing(0.9 + 0.235 * y) as (figure, axes):
        for at, title, pool in rows:
            _latency_bar(axes, at, title, pool)
        for at, text in heads:
            place = {"xycoords": ("axes fraction", "data"), "va": "center"}
            style.note(axes, text, (0, at), (-4, 0), weight="bold", **place)
        axes.set_yticks([at for at, _, _ in rows], [title for _, title, _ in rows])
        for label, (_, title, _) in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(style.colour(title))
        axes.set_ylim(y - GAP, -1)
        low, high = min(p.latency(50) for _, _, p in rows), max(p.latency(99) for _, _, p in rows)
        style.logarithmic(axes, "x", 0.45 * low, 1.25 * high, "ms")
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("latency of an image: dot median, bar to 95th percentile, tick 99th")
        return style.save(figure, "links", folder)


def _latency_bar(axes: Any, y: float, title: str, pool: Pool) -> None:
    low, high, tail = (pool.latency(percent) for percent in PERCENTILES)
    tint = style.colour(title)
    axes.plot([low, high], [y, y], color=tint, linewidth=4.5, alpha=0.35)
    axes.plot([tail, tail], [y - 0.25, y + 0.25], color=tint, linewidth=1.4)
    axes.plot(low, y, "o", color=tint, markersize=7)
    text = style.milliseconds(low)
    style.note(axes, text, (low, y), (-8, 0), ha="right", va="center", fontsize=8.5, color=tint)


def rates(study: Study, folder: Path) -> str | None:
    """Latency against the links' rate, a panel per percentile."""
    lines: dict[str, list[tuple[float, Pool]]] = {}
    for link in study.links:
        for title, pool in study.contenders(link):
            lines.setdefault(title, []).append((PROFILES[link].up.bits, pool))
    if len(study.links) < 2:
        return None
    pools = [pool for line in lines.values() for _, pool in line]
    low, high = min(pool.latency(50) for pool in pools), max(pool.latency(99) for pool in pools)
    names = {PROFILES[link].up.bits: style.link_name(link) for link in study.links}
    with style.drawing(3.0, ncols=3, sharey=True) as (figure, panels):
        style.logarithmic(panels[0], "y", low / 1.6, 1.6 * high, "ms")
        for axes, percent in zip(panels, PERCENTILES, strict=True):
            for title, line in lines.items():
                x, y = [rate for rate, _ in line], [pool.latency(percent) for _, pool in line]
                axes.plot(x, y, **_line_style(title), markersize=4, linewidth=1.8)
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            _name_rates(axes, names)
            axes.set_title("median" if percent == 50 else f"p{percent}")
        marks = [Line2D([], [], label=title, markersize=4, **_line_style(title)) for title in lines]
        _legend(figure, marks, ncols=3, handlelength=2.6)
        return style.save(figure, "rates", folder)


def _name_rates(axes: Any, names: dict[float, str]) -> None:
    """A tick at each rate, and the link's name under it, moved aside where the next one is too near."""
    axes.set_xticks(list(names), [""] * len(names))
    low, high = (math.log(limit) for limit in axes.get_xlim())
    places = style.apart([math.log(rate) for rate in names], NAME_GAP * (high - low))
    below = {"xycoords": ("data", "axes fraction"), "rotation": 45, "rotation_mode": "anchor"}
    for name, place in zip(names.values(), places, strict=True):
        at = math.exp(place), 0.0
        style.note(axes, name, at, (3, -8), ha="right", va="center", color=style.MUTED, **below)


def _line_style(title: str) -> dict[str, Any]:
    """On demand is dashed, to tell it from auto; the smaller JPEG is dotted, to tell it from the larger."""
    dashes = "--" if title == ON_DEMAND else ":" if title.startswith("JPEG 112") else "-"
    return {"color": style.colour(title), "marker": "o", "linestyle": dashes}


def policies(study: Study, folder: Path) -> str | None:
    """Mean latency and bytes of each policy on each link, over those of the best fixed one there."""
    compared = study.policies()
    if not compared:
        return None
    with style.drawing(1.0 + 0.62 * len(compared), ncols=2, sharey=True) as (figure, (left, right)):
        for y, each in enumerate(compared):
            _policy_marks(left, y, each, each.latency)
            _policy_marks(right, y, each, each.up)
        left.set_yticks(range(len(compared)), [style.link_name(each.link) for each in compared])
        left.set_ylim(len(compared) - 0.5, -0.5)
        for axes, title in ((left, "mean latency"), (right, "bytes up the link")):
            axes.grid(axis="y", visible=False)
            axes.axvline(1, color=style.MUTED, linewidth=0.8, zorder=0)
            axes.set_title(title)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{x:.2f}".rstrip("0").rstrip(".")))
            axes.locator_params(axis="x", nbins=5)
            axes.margins(x=0.08)
            for y in range(1, len(compared)):
                axes.axhline(y - 0.5, color=style.GRID, linewidth=0.8, zorder=0)
        marks = [Line2D([], [], label=name, linestyle="", **_mark_style(name, 7)) for name in POLICY_COLOURS]
        _legend(figure, marks, ncols=4, handlelength=1.2)
        return style.save(figure, "policies", folder)


def _policy_marks(axes: Any, y: int, compared: PolicyComparison, values: dict[str, float]) -> None:
    """Each policy at a height of its own, so that none hides another."""
    best = values[compared.best]
    for place, (name, tint) in enumerate(POLICY_COLOURS.items()):
        if name in values:
            at, share = y + (place - 1.5) * OFFSET, values[name] / best
            axes.plot([1, share], [at, at], color=tint, linewidth=1.4, alpha=0.5)
            axes.plot(share, at, zorder=3, **_mark_style(name, 8 if name == "auto" else 6))


def _mark_style(policy: str, size: float) -> dict[str, Any]:
    tint = POLICY_COLOURS[policy]
    fill = style.PAPER if policy == "auto" else tint
    edge = {"markeredgecolor": tint, "markeredgewidth": 2}
    return {"marker": "o", "markersize": size, "markerfacecolor": fill, "color": tint, **edge}


def _legend(figure: Any, marks: Sequence[Line2D], **options: Any) -> None:
    figure.legend(handles=marks, loc="outside lower left", handletextpad=0.5, columnspacing=1.2, **options)
