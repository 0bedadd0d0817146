"""The report's pictures of links: latency of each contender, the same by rate, and the policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from overtone.benchmarks.link.profiles import PROFILES
from overtone.benchmarks.sweep import ink
from overtone.benchmarks.sweep.study import ASKED, Pool, Study, Verdict

ROW, GAP = 1.0, 0.9
PERCENTILES = (50, 95, 99)


def links(study: Study, folder: Path) -> str | None:
    """Latency of us and of rivals on each link: median, 95th and 99th percentile."""
    rows: list[tuple[float, str, Pool]] = []
    heads: list[tuple[float, str]] = []
    y = 0.0
    for link in study.links:
        heads.append((y, ink.link_title(link)))
        y += ROW
        for title, pool in study.contenders(link):
            rows.append((y, title, pool))
            y += ROW
        y += GAP
    if not rows:
        return None
    with ink.drawing(0.9 + 0.235 * y) as (figure, axes):
        for at, title, pool in rows:
            _span(axes, at, title, pool)
        for at, text in heads:
            axes.annotate(
                text,
                (0, at),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 0),
                textcoords="offset points",
                weight="bold",
                va="center",
            )
        axes.set_xscale("log")
        axes.set_yticks([at for at, _, _ in rows], [title for _, title, _ in rows])
        for label, (_, title, _) in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_color(ink.colour(title))
        axes.set_ylim(y - GAP, -ROW)
        low = 0.45 * min(pool.latency(50) for _, _, pool in rows)
        high = 1.25 * max(pool.latency(99) for _, _, pool in rows)
        marks = ink.decades(low, high)
        axes.set_xlim(low, high)
        axes.set_xticks(marks, [ink.tick(mark) for mark in marks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("latency of a picture: dot median, bar to 95th percentile, tick 99th")
        return ink.save(figure, "links", folder)


def _span(axes: Any, y: float, title: str, pool: Pool) -> None:
    low, high, tail = (pool.latency(percent) for percent in PERCENTILES)
    tint = ink.colour(title)
    axes.plot([low, high], [y, y], color=tint, linewidth=4.5, alpha=0.35)
    axes.plot([tail, tail], [y - 0.25, y + 0.25], color=tint, linewidth=1.4)
    axes.plot(low, y, "o", color=tint, markersize=7)
    axes.annotate(
        ink.milliseconds(low),
        (low, y),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
        color=tint,
    )


def rates(study: Study, folder: Path) -> str | None:
    """Latency against the links' rate, a panel a percentile."""
    lines: dict[str, list[tuple[float, Pool]]] = {}
    for link in study.links:
        for title, pool in study.contenders(link):
            lines.setdefault(title, []).append((PROFILES[link].up.bits, pool))
    if len(study.links) < 2:
        return None
    with ink.drawing(3.0, ncols=3, sharey=True) as (figure, panels):
        for axes, percent in zip(panels, PERCENTILES, strict=True):
            for title, line in lines.items():
                _rate_line(axes, title, line, percent)
            axes.set_xscale("log")
            axes.set_yscale("log")
            ticks = {PROFILES[link].up.bits: ink.link_name(link) for link in study.links}
            axes.set_xticks(
                list(ticks), list(ticks.values()), rotation=45, ha="right", rotation_mode="anchor"
            )
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(
                "median" if percent == 50 else f"p{percent}", loc="left", fontsize=9.5, weight="bold"
            )
        pools = [pool for line in lines.values() for _, pool in line]
        marks = ink.decades(
            min(pool.latency(50) for pool in pools) / 1.6, 1.6 * max(pool.latency(99) for pool in pools)
        )
        panels[0].set_yticks(marks, [ink.tick(mark) for mark in marks])
        panels[0].yaxis.set_minor_locator(NullLocator())
        _key(figure, [_mark(title, ink.colour(title), _style(title)) for title in lines])
        return ink.save(figure, "rates", folder)


def _rate_line(axes: Any, title: str, line: Sequence[tuple[float, Pool]], percent: float) -> None:
    axes.plot(
        [rate for rate, _ in line],
        [pool.latency(percent) for _, pool in line],
        color=ink.colour(title),
        marker="o",
        markersize=4,
        linewidth=1.8,
        linestyle=_style(title),
    )


def _style(title: str) -> str:
    """Two of one colour: what is sent on demand, and the smaller JPEG."""
    if title == ASKED:
        return "--"
    return ":" if title.startswith("JPEG 112") else "-"


POLICY_COLOURS = {"on_demand": ink.JPEG, "ahead": ink.WEBP, "at_once": ink.WARM, "auto": ink.OURS}
LANE = 0.17


def policies(study: Study, folder: Path) -> str | None:
    """Mean latency and bytes of each policy on each link, against the best fixed one there."""
    verdicts = study.verdicts()
    if not verdicts:
        return None
    with ink.drawing(1.0 + 0.62 * len(verdicts), ncols=2, sharey=True) as (figure, (left, right)):
        for y, verdict in enumerate(verdicts):
            _lanes(left, y, verdict, verdict.latency)
            _lanes(right, y, verdict, verdict.up)
        left.set_yticks(range(len(verdicts)), [ink.link_name(verdict.link) for verdict in verdicts])
        left.set_ylim(len(verdicts) - 0.5, -0.5)
        for axes, title in ((left, "mean latency"), (right, "bytes up the link")):
            axes.grid(axis="y", visible=False)
            axes.axvline(1, color=ink.MUTED, linewidth=0.8, zorder=0)
            axes.set_title(title, loc="left", fontsize=9.5, weight="bold")
            axes.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"×{value:.2f}".rstrip("0").rstrip("."))
            )
            axes.locator_params(axis="x", nbins=5)
            axes.margins(x=0.08)
            for y in range(1, len(verdicts)):
                axes.axhline(y - 0.5, color=ink.GRID, linewidth=0.8, zorder=0)
        marks = [_mark(name, tint, "", name == "auto") for name, tint in POLICY_COLOURS.items()]
        _key(figure, marks)
        return ink.save(figure, "policies", folder)


def _lanes(axes: Any, y: int, verdict: Verdict, values: dict[str, float]) -> None:
    """A lane a policy, so that none hides another."""
    best = values[verdict.best]
    for lane, (name, tint) in enumerate(POLICY_COLOURS.items()):
        if name not in values:
            continue
        at, share = y + (lane - 1.5) * LANE, values[name] / best
        axes.plot([1, share], [at, at], color=tint, linewidth=1.4, alpha=0.5)
        axes.plot(
            share,
            at,
            "o",
            markersize=8 if name == "auto" else 6,
            markerfacecolor=ink.PAPER if name == "auto" else tint,
            markeredgecolor=tint,
            markeredgewidth=2,
            zorder=3,
        )


def _mark(label: str, tint: str, line: str, hollow: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        label=label,
        color=tint,
        linestyle=line,
        marker="o",
        markersize=7 if not line else 4,
        markerfacecolor=ink.PAPER if hollow else tint,
        markeredgecolor=tint,
        markeredgewidth=2 if not line else 1,
    )


def _key(figure: Any, marks: Sequence[Line2D]) -> None:
    figure.legend(
        handles=marks,
        loc="outside lower left",
        ncols=4 if len(marks) == 4 else 3,
        frameon=False,
        fontsize=8.5,
        handlelength=2.6 if marks[0].get_linestyle() == "-" else 1.2,
        handletextpad=0.5,
        columnspacing=1.2,
    )
