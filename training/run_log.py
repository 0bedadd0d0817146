"""The log of a run: for each epoch a line of JSON, and a point on TensorBoard's curves."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Line:
    """A finished epoch of a step, both counted from 0."""

    step: int
    epoch: int

    def scalars(self) -> dict[str, float | None]:
        """TensorBoard's scalars of the epoch by tag; None if it was not measured."""
        raise NotImplementedError


L = TypeVar("L", bound=Line)


@dataclass(frozen=True)
class Epoch(Line):
    """One line of the log. Accuracies are fractions; `calibration_top1` is None if it was not measured."""

    size: int
    lr: float
    loss: float
    top1: float
    calibration_top1: float | None
    images_per_second: float
    seconds: float = 0.0

    def __str__(self) -> str:
        held_out = "" if self.calibration_top1 is None else f"calibration {self.calibration_top1:.1%}, "
        return (
            f"step {self.step + 1} epoch {self.epoch + 1} at {self.size} px: loss {self.loss:.3f}, "
            f"train {self.top1:.1%}, {held_out}{self.images_per_second:.0f} images/s"
        )

    def scalars(self) -> dict[str, float | None]:
        """The points on TensorBoard's curves."""
        return {
            "loss": self.loss,
            "top1/train": self.top1,
            "top1/calibration": self.calibration_top1,
            "lr": self.lr,
            "images_per_second": self.images_per_second,
        }


def read_lines(log: Path, kind: type[L]) -> Iterator[L]:
    """The finished epochs in a log, up to a line that an interruption may have cut off."""
    with contextlib.suppress(json.JSONDecodeError):
        for line in log.read_text("utf-8").splitlines() if log.exists() else ():
            yield kind(**json.loads(line))


def read_epochs(log: Path) -> Iterator[Epoch]:
    """The finished epochs of a classifier."""
    return read_lines(log, Epoch)


class RunLog(Generic[L]):
    """The log in `folder`, resumed at `step` and `epoch` (both counted from 0); later lines are dropped.

    An epoch is logged before its weights are saved, so a run that was killed in between logs it again.
    """

    def __init__(self, folder: Path, kind: type[L], step: int = 0, epoch: int = 0) -> None:
        self.path = folder / "log.jsonl"
        kept = [line for line in read_lines(self.path, kind) if (line.step, line.epoch) < (step, epoch)]
        temporary = self.path.with_suffix(".part")
        temporary.write_text("".join(_json(line) for line in kept), "utf-8")
        temporary.replace(self.path)
        self.epochs = len(kept)
        # TensorBoard drops its later points as well.
        self.board = SummaryWriter(str(folder), purge_step=self.epochs or None)

    def __enter__(self) -> "RunLog[L]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()

    def add(self, line: L) -> None:
        """Log a finished epoch."""
        with self.path.open("a", encoding="utf-8") as log:
            log.write(_json(line))
        for name, value in line.scalars().items():
            if value is not None:
                self.board.add_scalar(name, value, self.epochs)
        self.board.flush()
        self.epochs += 1


def _json(line: Line) -> str:
    return json.dumps(asdict(line)) + "\n"
