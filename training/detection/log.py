"""The log line of one epoch of a detector's training."""

from dataclasses import dataclass

from overtone.training.run_log import Line


@dataclass(frozen=True)
class DetectionEpoch(Line):
    """Losses by name; `calibration_ap50` is None if it was not measured."""

    size: int
    lr: float
    losses: dict[str, float]
    calibration_ap50: float | None
    images_per_second: float
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The sum of all losses."""
        return sum(self.losses.values())

    def scalars(self) -> dict[str, float | None]:
        """The points on TensorBoard's curves."""
        parts: dict[str, float | None] = {f"loss/{name}": value for name, value in self.losses.items()}
        more = {"lr": self.lr, "ap50/calibration": self.calibration_ap50}
        return parts | {"loss": self.loss, "images_per_second": self.images_per_second} | more

    def __str__(self) -> str:
        held_out = "" if self.calibration_ap50 is None else f"calibration AP50 {self.calibration_ap50:.1%}, "
        return (
            f"step {self.step + 1} epoch {self.epoch + 1} at {self.size} px: loss {self.loss:.3f}, "
            f"{held_out}{self.images_per_second:.2g} images/s"
        )
