"""The tables that `overtone evaluate` prints, readable at 80 columns and more."""

from collections.abc import Iterable, Sequence
from math import sqrt

from rich import box
from rich.table import Table

from overtone.training.evaluation.metrics import Mode, QualityResult

GIGA = 1e9


def modes_table(title: str, rows: Sequence[QualityResult], parameters: int) -> Table:
    """The modes of each quality: accuracy, bytes, cost."""
    last = rows[-1]
    table = _table(
        title,
        ("quality", "step", "", "top-1", "top-5", "bytes", "answered early", "G MACs"),
        f"{parameters / 1e6:.1f} M parameters. Bytes (payloads as encoded) and multiply-adds are means per "
        f"image. The 95 % interval of top-1 is ± {_margin(last.cascade.top1, last.n):.1%}.",
    )
    for found in rows:
        table.add_row(str(found.quality), str(found.step), name(found, 1), *_mode(found.low, "100.0%"))
        for count, layer in enumerate(found.layers[1:-1], 2):
            sent = sum(each.bytes for each in found.layers[:count])
            table.add_row("", "", name(found, count), f"{layer.top1:.2%}", "", f"{sent:.0f}", "", "")
        table.add_row("", "", name(found, len(found.layers)), *_mode(found.both, "-"))
        early = " + ".join(f"{layer.share:.1%}" for layer in found.layers[:-1])
        cells = f"cascade at {numbers(found.rule.thresholds)}", *_mode(found.cascade, early)
        table.add_row("", "", *(f"[bold]{cell}" for cell in cells), end_section=True)
    return table


def name(found: QualityResult, count: int) -> str:
    """The name of the mode that takes the first `count` layers."""
    if len(found.layers) == 2:
        return ("low only", "always both")[count - 1]
    return (
        "all layers"
        if count == len(found.layers)
        else f"layer {count}"
        if count == 1
        else f"layers 1-{count}"
    )


def numbers(thresholds: Sequence[float]) -> str:
    """Thresholds after each layer, as text."""
    return ", ".join(f"{threshold:.3f}" for threshold in thresholds)


def thresholds_table(found: QualityResult) -> Table:
    """The share that each rule answers after the first layer, its accuracy and cost; the rule in use is bold."""
    table = _table(
        f"Thresholds at quality {found.quality}",
        ("threshold", "point", "answered low", "of these correct", "cascade", "bytes", "G MACs"),
        "An answer is final if its confidence reaches the threshold after its layer.",
    )
    for row in found.thresholds:
        table.add_row(
            numbers(row.rule.thresholds),
            row.operating_point or "",
            f"{row.exit_share:.1%}",
            "-" if row.low_answer_top1 is None else f"{row.low_answer_top1:.2%}",
            f"{row.top1:.2%}",
            f"{row.mean_payload_bytes:.0f}",
            f"{row.mean_macs / GIGA:.3f}",
            style="bold" if row.rule == found.rule else "",
        )
    return table


def reliability_table(found: QualityResult) -> Table:
    """Expected calibration error after each layer, without and with its temperature."""
    table = _table(
        f"Reliability at quality {found.quality}",
        ("after", "temperature", "top-1", "mean confidence", "expected calibration error"),
        "Temperature 1 is the network as trained. The error is the mean gap between confidence and accuracy.",
    )
    for count, c in enumerate(found.calibration, 1):
        for temperature, r, end in ((1.0, c.before, False), (c.temperature, c.after, True)):
            cells = f"{r.accuracy:.2%}", f"{r.confidence:.2%}", f"{r.ece:.2%}"
            table.add_row(name(found, count), f"{temperature:.3f}", *cells, end_section=end)
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
        text = column in ("", "point", "after", "confidence")
        table.add_column(column, justify="left" if text else "right")
    return table
