"""The pictures of a sweep's report: a study goes in, an SVG comes out, None if there is nothing to show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks import ink
from benchmarks.answer_figures import accuracy, exits
from benchmarks.study import KNEE, Pool, Study, knee

ROW, GAP = 1.0, 0.9


def draw(study: Study, folder: Path) -> dict[str, str]:
    """All that there are, as SVG by name; each is also written as a PNG into the folder."""
    makers: dict[str, Callable[[Study, Path], str | None]] = {
        "links": links,
        "policies": policies,
        "accuracy": accuracy,
        "exits": exits,
        "devices": devices,
        "timeline": timeline,
    }
    drawn = {name: make(study, folder) for name, make in makers.items()}
    return {name: svg for name, svg in drawn.items() if svg is not None}


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
        _milliseconds_axis(
            axes, [pool.latency(50) for _, _, pool in rows], [p.latency(99) for _, _, p in rows]
        )
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("latency of a picture: dot median, bar to 95th percentile, tick 99th")
        return ink.save(figure, "links", folder)


def _span(axes: Any, y: float, title: str, pool: Pool) -> None:
    low, high, tail = (pool.latency(percent) for percent in (50, 95, 99))
    axes.plot([low, high], [y, y], color=ink.colour(title), linewidth=4.5, alpha=0.35)
    axes.plot([tail, tail], [y - 0.25, y + 0.25], color=ink.colour(title), linewidth=1.4)
    axes.plot(low, y, "o", color=ink.colour(title), markersize=7)
    axes.annotate(
        ink.milliseconds(low),
        (low, y),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8.5,
        color=ink.colour(title),
    )


def _milliseconds_axis(axes: Any, least: list[float], most: list[float]) -> None:
    low, high = 0.45 * min(least), 1.25 * max(most)
    marks = [m * 10**e for e in range(0, 6) for m in (1, 2, 5) if low <= m * 10**e <= high]
    axes.set_xlim(low, high)
    axes.set_xticks(marks, [ink.milliseconds(mark) for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())


POLICY_COLOURS = {"on_demand": ink.JPEG, "ahead": ink.WEBP, "at_once": ink.WARM, "auto": ink.OURS}


def policies(study: Study, folder: Path) -> str | None:
    """Mean latency and bytes of each policy on each link, against the best fixed one there."""
    verdicts = study.verdicts()
    if not verdicts:
        return None
    with ink.drawing(0.95 + 0.52 * len(verdicts), ncols=2, sharey=True) as (figure, (left, right)):
        for y, verdict in enumerate(verdicts):
            for axes, values in ((left, verdict.latency), (right, verdict.up)):
                best = values[verdict.best]
                shares = {name: value / best for name, value in values.items()}
                axes.plot([min(shares.values()), max(shares.values())], [y, y], color=ink.GRID, zorder=1)
                for name in POLICY_COLOURS.keys() & shares.keys():
                    auto = name == "auto"
                    axes.plot(
                        shares[name],
                        y,
                        "o",
                        markersize=11 if auto else 7,
                        markerfacecolor="none" if auto else POLICY_COLOURS[name],
                        markeredgecolor=POLICY_COLOURS[name],
                        markeredgewidth=2,
                        zorder=3 if auto else 2,
                    )
        left.set_yticks(range(len(verdicts)), [verdict.link for verdict in verdicts])
        left.set_ylim(len(verdicts) - 0.5, -0.5)
        for axes, title in ((left, "mean latency"), (right, "bytes up the link")):
            axes.grid(axis="y", visible=False)
            axes.axvline(1, color=ink.MUTED, linewidth=0.8, zorder=0)
            axes.set_title(title, loc="left", fontsize=9.5, weight="bold")
            axes.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"×{value:.2f}".rstrip("0").rstrip("."))
            )
            axes.locator_params(axis="x", nbins=5)
        _policy_key(figure)
        return ink.save(figure, "policies", folder)


def _policy_key(figure: Any) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            label=name,
            markersize=10 if name == "auto" else 7,
            markerfacecolor="none" if name == "auto" else tint,
            markeredgecolor=tint,
            markeredgewidth=2,
        )
        for name, tint in POLICY_COLOURS.items()
    ]
    figure.legend(
        handles=marks, loc="outside lower left", ncols=4, frameon=False, fontsize=9, handletextpad=0.2
    )


def devices(study: Study, folder: Path) -> str | None:
    """Latency and answers a second against the number of devices, with the knee."""
    fleets = study.fleets()
    if len(fleets) < 2:
        return None
    x = [pool.point.devices for pool in fleets]
    with ink.drawing(4.6, nrows=2, sharex=True, height_ratios=(3, 2)) as (figure, (upper, lower)):
        for percent, alpha in ((50, 1.0), (95, 0.65), (99, 0.35)):
            y = [pool.latency(percent) for pool in fleets]
            upper.plot(x, y, "o-", color=ink.OURS, alpha=alpha, markersize=5)
            upper.annotate(
                f"p{percent}",
                (x[-1], y[-1]),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=ink.OURS,
            )
        lower.plot(x, [pool.rate for pool in fleets], "o-", color=ink.WEBP, markersize=5)
        pace = fleets[0].point.per_second
        if pace:
            top = max(pool.rate for pool in fleets)
            wanted = [min(pace * count, 1.15 * top) for count in x]
            lower.plot(x, wanted, color=ink.MUTED, linewidth=1, linestyle=":")
            lower.annotate(
                "asked for",
                (x[1], wanted[1]),
                xytext=(8, -12),
                textcoords="offset points",
                color=ink.MUTED,
                fontsize=8.5,
            )
        upper.set_xscale("log")
        upper.set_xticks(x, [str(count) for count in x])
        upper.xaxis.set_minor_locator(NullLocator())
        upper.set_yscale("log")
        values = [pool.latency(p) for pool in fleets for p in (50, 99)]
        marks = [
            m * 10**e
            for e in range(0, 6)
            for m in (1, 2, 5)
            if min(values) / 1.5 <= m * 10**e <= 1.5 * max(values)
        ]
        upper.set_yticks(marks, [ink.milliseconds(mark) for mark in marks])
        upper.yaxis.set_minor_locator(NullLocator())
        upper.set_title("latency", loc="left", fontsize=9.5, weight="bold")
        lower.set_title("answers a second", loc="left", fontsize=9.5, weight="bold")
        lower.set_ylim(0)
        lower.set_xlabel("devices")
        found = knee(fleets)
        if found is not None:
            for axes in (upper, lower):
                axes.axvline(found.point.devices, color=ink.INK, linewidth=1, linestyle=(0, (2, 2)))
            upper.annotate(
                f"knee: {found.point.devices} devices\n(beyond, p95 is above {KNEE:g} times that of {x[0]})",
                (found.point.devices, marks[-1]),
                xytext=(-6, 0),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=8.5,
            )
        return ink.save(figure, "devices", folder)


PHASE_COLOURS = {
    "encode": ink.INK,
    "low up": ink.OURS,
    "queue low": ink.GRID,
    "compute low": ink.WARM,
    "ask": ink.JPEG,
    "high up": ink.OURS,
    "queue high": ink.GRID,
    "compute high": ink.WARM,
    "answer": ink.JPEG,
}


def timeline(study: Study, folder: Path) -> str | None:
    """Where the time of one escalated image goes, a panel a link."""
    seen = study.timelines
    if not seen:
        return None
    with ink.drawing(0.3 + 2.2 * len(seen), nrows=len(seen), squeeze=False) as (figure, grid):
        for axes, line in zip(grid[:, 0], seen, strict=True):
            _gantt(axes, line)
        grid[-1, 0].set_xlabel("milliseconds since the device began to encode")
        return ink.save(figure, "timeline", folder)


def _gantt(axes: Any, line: dict[str, Any]) -> None:
    begin, total = 0.0, sum(spent for _, spent in line["phases"])
    for y, (name, spent) in enumerate(line["phases"]):
        axes.barh(y, max(spent, total / 300), left=begin, height=0.72, color=PHASE_COLOURS[name])
        late = begin + spent > 0.78 * total
        axes.annotate(
            f"{name} {spent:,.0f}" if spent >= 1 else f"{name} <1",
            (begin if late else begin + spent, y),
            xytext=(-4 if late else 4, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=8.5,
        )
        begin += spent
    axes.set_title(
        f"{ink.link_title(line['link'])}: {line['low_bytes']:,} + {line['high_bytes']:,} bytes",
        loc="left",
        fontsize=9.5,
        weight="bold",
    )
    axes.set_ylim(len(line["phases"]) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xlim(0, 1.02 * total)
    axes.grid(axis="y", visible=False)
