"""The tables that `overtone evaluate` prints, readable at 80 columns and more."""

from collections.abc import Iterable, Sequence
from math import sqrt

from rich import box
from rich.table import Table

from overtone.training.evaluation.metrics import Measured, Mode

GIGA = 1e9


def modes_table(title: str, rows: Sequence[Measured], parameters: int) -> Table:
    """Three modes per quality: accuracy, bytes, cost."""
    last = rows[-1]
    table = _table(
        title,
        ("quality", "step", "", "top-1", "top-5", "bytes", "answered low", "G MACs"),
        f"{parameters / 1e6:.1f} M parameters. Bytes (payloads as encoded) and multiply-adds are means per "
        f"image. The 95 % interval of top-1 is ± {_margin(last.cascade.top1, last.n):.1%}.",
    )
    for found in rows:
        table.add_row(str(found.quality), str(found.step), "low only", *_mode(found.low, "100.0%"))
        table.add_row("", "", "always both", *_mode(found.both, "-"))
        cascade = _mode(found.cascade, f"{found.exit_share:.1%}")
        name = f"[bold]cascade at {found.threshold:.3f}"
        table.add_row("", "", name, *(f"[bold]{cell}" for cell in cascade), end_section=True)
    return table


def thresholds_table(found: Measured) -> Table:
    """What each threshold answers from low, and what it costs; the one in use is bold."""
    table = _table(
        f"Thresholds at quality {found.quality}",
        ("threshold", "point", "answered low", "of these correct", "cascade", "bytes", "G MACs"),
        "A low answer is final if its confidence reaches the threshold.",
    )
    for row in found.thresholds:
        table.add_row(
            f"{row.threshold:.3f}",
            row.operating_point or "",
            f"{row.exit_share:.1%}",
            "-" if row.low_answer_top1 is None else f"{row.low_answer_top1:.2%}",
            f"{row.top1:.2%}",
            f"{row.mean_payload_bytes:.0f}",
            f"{row.mean_macs / GIGA:.3f}",
            style="bold" if row.threshold == found.threshold else "",
        )
    return table


def reliability_table(found: Measured) -> Table:
    """Expected calibration error of both stages, without and with their temperatures."""
    table = _table(
        f"Reliability at quality {found.quality}",
        ("stage", "temperature", "top-1", "mean confidence", "expected calibration error"),
        "Temperature 1 is the network as trained. The error is the mean gap between confidence and accuracy.",
    )
    for stage, c in found.calibration.items():
        for temperature, r, end in ((1.0, c.before, False), (c.temperature, c.after, True)):
            cells = f"{r.accuracy:.2%}", f"{r.confidence:.2%}", f"{r.ece:.2%}"
            table.add_row(stage, f"{temperature:.3f}", *cells, end_section=end)
    return table


def _mode(mode: Mode, answered_low: str) -> tuple[str, ...]:
    top1, top5, macs = f"{mode.top1:.2%}", f"{mode.top5:.2%}", f"{mode.mean_macs / GIGA:.3f}"
    return top1, top5, f"{mode.mean_payload_bytes:.0f}", answered_low, macs


def _margin(share: float, n: int) -> float:
    """Half of the 95 % interval of a share observed in n trials."""
    return 1.96 * sqrt(share * (1 - share) / n)


def _table(title: str, columns: Iterable[str], caption: str) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, caption_justify="left")
    for column in columns:
        text = column in ("", "point", "stage", "confidence")
        table.add_column(column, justify="left" if text else "right")
    return table
