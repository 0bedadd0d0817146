"""A run's curves as a picture: loss, top-1 and learning rate over the epochs of all steps."""

import itertools
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from overtone.training.runlog import Epoch, epochs_of
from overtone.training.style import BOTH, FAINT, LOW, figure, percent

Value = Callable[[Epoch], float | None]


def draw(folder: Path) -> Path | None:
    """Draw `folder`/curves.png from `folder`/log.jsonl; None when no epoch was finished yet."""
    log = folder / "log.jsonl"
    epochs = list(epochs_of(log)) if log.exists() else []
    if not epochs:
        return None
    path = folder / "curves.png"
    note = "Epochs of all steps; a line where a step begins."
    with figure(path, 12, 3.6, folder.resolve().name, note) as drawn:
        loss, top1, rate = drawn.subplots(1, 3)
        _line(loss, epochs, lambda e: e.loss, LOW, "training")
        _line(top1, epochs, lambda e: e.top1, LOW, "training")
        _line(top1, epochs, lambda e: e.calibration_top1, BOTH, "calibration")
        _line(rate, epochs, lambda e: e.lr, LOW, "")
        percent(top1, "y")
        top1.legend()
        for axes, title in ((loss, "Loss"), (top1, "Top-1"), (rate, "Learning rate")):
            axes.set_title(title)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _divide(axes, epochs)
    return path


def _line(axes: Axes, epochs: list[Epoch], value: Value, colour: str, label: str) -> None:
    """One curve, over the epochs where it was measured; broken where a step ends."""
    for step in sorted({e.step for e in epochs}):
        points = [(i, v) for i, e in enumerate(epochs, 1) if e.step == step and (v := value(e)) is not None]
        named = label if step == epochs[0].step else ""
        axes.plot(*zip(*points, strict=True) if points else ([], []), "o-", ms=3, color=colour, label=named)


def _divide(axes: Axes, epochs: list[Epoch]) -> None:
    for i, (before, after) in enumerate(itertools.pairwise(epochs), 1):
        if before.step != after.step:
            axes.axvline(i + 0.5, color=FAINT, lw=1)
