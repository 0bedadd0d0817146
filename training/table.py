"""What `overtone evaluate` shows on a terminal: readable at 80 columns and more."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

from rich import box
from rich.table import Table

from overtone.models import Cost
from overtone.training.measure import Measured, Mode
from overtone.training.reliability import Reliability
from overtone.training.score import Score

GIGA = 1e9


def modes_table(title: str, rows: Sequence[Measured], parameters: int) -> Table:
    """Three modes a quality: accuracy, bytes, cost."""
    last = rows[-1]
    table = _table(
        title,
        ("quality", "step", "", "top-1", "top-5", "bytes", "answered low", "G MACs"),
        f"{parameters / 1e6:.1f} M parameters. Bytes (payloads as encoded) and multiply-adds are means per "
        f"picture. Top-1 is known to ± {_margin(last.cascade.top1, last.n):.1%} (95 %).",
    )
    for found in rows:
        table.add_row(str(found.quality), str(found.step), "low only", *_mode(found.low, "100.0%"))
        table.add_row("", "", "always both", *_mode(found.both, "-"))
        cascade = _mode(found.cascade, f"{found.exit_share:.1%}")
        by = "by rule" if found.rule else f"at {found.threshold:.3f}"
        table.add_row("", "", f"[bold]cascade {by}", *(f"[bold]{cell}" for cell in cascade), end_section=True)
    return table


def single_table(title: str, scores: Mapping[int | None, Score], cost: Cost) -> Table:
    """A single network: accuracy by quantiser step, and cost."""
    table = _table(
        title,
        ("quantiser step", "top-1", "top-5"),
        f"{cost.parameters / 1e6:.1f} M parameters, {cost.macs / GIGA:.3f} G multiply-adds a picture.",
    )
    for step, score in scores.items():
        table.add_row("RGB" if step is None else str(step), f"{score.top1:.2%}", f"{score.top5:.2%}")
    return table


def thresholds_table(found: Measured) -> Table:
    """What each threshold answers from low, and what it costs; the one in use stands out."""
    table = _table(
        f"Thresholds at quality {found.quality}",
        ("threshold", "point", "answered low", "these right", "cascade", "bytes", "G MACs"),
        "A low answer is final from the threshold on; these right: top-1 of the answers given from low.",
    )
    for row in found.thresholds:
        used = row.threshold == found.threshold and row.rule == found.rule
        right = "-" if row.low_answer_top1 is None else f"{row.low_answer_top1:.2%}"
        table.add_row(
            "rule" if row.rule else f"{row.threshold:.3f}",
            row.name,
            f"{row.exit_share:.1%}",
            right,
            f"{row.top1:.2%}",
            f"{row.mean_bytes:.0f}",
            f"{row.mean_macs / GIGA:.3f}",
            style="bold" if used else "",
        )
    return table


def reliability_table(found: Measured) -> Table:
    """Expected calibration error of both stages, without and with their temperatures."""
    table = _table(
        f"Reliability at quality {found.quality}",
        ("stage", "temperature", "top-1", "mean confidence", "expected calibration error"),
        "Temperature 1 is the network as trained. The error is the mean gap between confidence and accuracy, "
        f"in {len(found.calibration['low'].after.counts)} bins.",
    )
    for stage, c in found.calibration.items():
        for temperature, r, end in ((1.0, c.before, False), (c.temperature, c.after, True)):
            cells = f"{r.mean_accuracy:.2%}", f"{r.mean_confidence:.2%}", f"{r.error:.2%}"
            table.add_row(stage, f"{temperature:.3f}", *cells, end_section=end)
    return table


def bins_table(found: Measured) -> Table:
    """Confidence against accuracy of the low answers, bin by bin."""
    table = _table(
        f"Low answers by confidence at quality {found.quality}",
        ("confidence", "pictures", "mean confidence", "top-1", "gap"),
        "With the temperature; a gap below zero is over-confidence.",
    )
    for row in _rows(found.calibration["low"].after):
        table.add_row(*row)
    return table


def _rows(r: Reliability) -> Iterable[tuple[str, ...]]:
    for low, high, n, confidence, accuracy in r.rows():
        gap = 100 * (accuracy - confidence)
        yield f"{low:.2f}-{high:.2f}", str(n), f"{confidence:.1%}", f"{accuracy:.1%}", f"{gap:+.1f}"


def _mode(mode: Mode, answered_low: str) -> tuple[str, ...]:
    top1, top5, macs = f"{mode.top1:.2%}", f"{mode.top5:.2%}", f"{mode.mean_macs / GIGA:.3f}"
    return top1, top5, f"{mode.mean_bytes:.0f}", answered_low, macs


def _margin(share: float, n: int) -> float:
    """Half the 95 % interval of a share seen in n trials."""
    return 1.96 * sqrt(share * (1 - share) / n)


def _table(title: str, columns: Iterable[str], caption: str) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, caption_justify="left")
    for column in columns:
        text = column in ("", "point", "stage", "confidence")
        table.add_column(column, justify="left" if text else "right")
    return table
