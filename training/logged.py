"""Tables from what `overtone evaluate` and `overtone calibrate` printed with `--json`, kept in docs/runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from overtone.training.heatmap import HeatMap
from overtone.training.markdown import table
from overtone.training.select import select

Json = Any


def qualities(found: Json) -> str:
    """A checkpoint in the three modes, a line a quality; the default one in bold."""
    head = (
        "quality",
        "step",
        "low only",
        "bytes",
        "both",
        "bytes",
        "cascade",
        "top-5",
        "bytes",
        "answered low",
    )
    return table(
        head,
        [_quality(e, e["quality"] == found["quality"]) for e in sorted(found["qualities"], key=_rank)],
        left=0,
    )


def _rank(e: Json) -> int:
    return int(e["quality"])


def _quality(e: Json, default: bool) -> Sequence[str]:
    bold = "**" if default else ""
    low, both, cascade = e["low"], e["both"], e["cascade"]
    return (
        f"{bold}{e['quality']}{bold}",
        f"{e['step']:g}",
        f"{low['top1']:.2%}",
        f"{low['mean_payload_bytes']:.0f}",
        f"{both['top1']:.2%}",
        f"{both['mean_payload_bytes']:.0f}",
        f"{bold}{cascade['top1']:.2%}{bold}",
        f"{cascade['top5']:.2%}",
        f"{bold}{cascade['mean_payload_bytes']:.0f}{bold}",
        f"{cascade['exit_share']:.1%}",
    )


def thresholds(found: Json) -> str:
    """The default quality over thresholds and operating points."""
    head = "threshold", "point", "answered low", "of these right", "cascade", "bytes"
    return table(head, [_threshold(row) for row in found["thresholds"]], left=0)


def _threshold(row: Json) -> Sequence[str]:
    right = row["low_answer_top1"]
    return (
        f"{row['threshold']:.3f}",
        row["operating_point"] or "",
        f"{row['exit_share']:.1%}",
        "" if right is None else f"{right:.2%}",
        f"{row['top1']:.2%}",
        f"{row['mean_payload_bytes']:.0f}",
    )


def mixes(found: Json) -> str:
    """High alone against mixes, on every part that was judged."""
    rows = [
        (
            data,
            name,
            f"{j['both']:.2%}",
            f"{100 * j['gain']:+.2f} ± {100 * j['error']:.2f}",
            f"{j['nll']:.4f}",
        )
        for data, judged in found["on"].items()
        for name, j in judged.items()
    ]
    return table(("on", "high answer", "top-1", "gain in points", "log-loss"), rows, left=2)


def promises(found: Json) -> str:
    """What was promised and what came out over random splits."""
    rows = [
        (
            k["wish"]["name"],
            "in expectation" if k["wish"]["delta"] is None else "how often alpha is passed",
            f"{k['promised']:.2%}",
            f"{k['found']:.3%}",
            "yes" if k["holds"] else "**no**",
        )
        for k in found
    ]
    return table(("point", "bound on", "promised", "found", "kept"), rows, left=2)


def rules(found: Json) -> str:
    """What rules gain over plain confidence at the same bytes."""
    rows = [
        (data, name, f"{100 * line['advantage']:+.2f}", _interval(line))
        for data, lines in found.items()
        for name, line in lines.items()
        if "advantage" in line
    ]
    return table(("on", "rule", "gain in points", "95 % interval"), rows, left=2)


def _interval(line: Mapping[str, float]) -> str:
    return f"{100 * line['lower']:+.2f} to {100 * line['upper']:+.2f}"


def gates(runs: Sequence[Json]) -> str:
    """A line for every lambda of the gate's sweep, from its runs' records."""
    rows = []
    for run in runs:
        maps = [HeatMap.model_validate(m) for m in run["heatmaps"]]
        val, calibration = maps[0], maps[-1]
        shared = select(calibration, count=24).shared(), select(calibration, count=6).shared()
        both = f"{shared[0][24]} of 24", f"{shared[1][6]} of 6"
        rows.append((val.cost, f"{val.mean_open:.1f}", f"{val.top1:.2%}", *both))
    head = "lambda", "channels open", "top-1", "24 most opened, of the paper's 24", "6, of its 6"
    return table(head, [(f"{cost:g}", *rest) for cost, *rest in sorted(rows)])
