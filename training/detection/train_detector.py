"""`overtone train` for recipes of detectors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from overtone.frequency import letter_boxed
from overtone.models import choose_device
from overtone.models.detection.detector import Detector
from overtone.training.detection.detection_trainer import DetectionTrainer
from overtone.training.detection.detector_export import export_detector
from overtone.training.detection.detector_file import TrainedDetector
from overtone.training.detection.log import DetectionEpoch
from overtone.training.detection.pictures import coco_tools, held_out, read_coco
from overtone.training.detection.recipe import DetectionRecipe
from overtone.training.export import profile_of
from overtone.training.progress import duration
from overtone.training.recipe import RecipeError
from overtone.training.train import check_folder, interrupted


def train_detector(
    recipe: DetectionRecipe,
    data: Path,
    out: Path | None = None,
    *,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
    on_epoch: Callable[[DetectionEpoch], object] | None = None,
) -> Path:
    """Train a detector on a folder in COCO's format, and write its file, whose path is returned.

    A tenth of the training pictures is held out, to choose operating points on; `val` is not touched. A detector whose
    networks are both trained becomes a checkpoint.

    Raises:
        DataError: the data is not in COCO's format, or pycocotools is not installed.
        RecipeError: the run's folder cannot be used, or the recipe has masks and the data has none.
    """
    # A missing pycocotools is reported before the work begins.
    coco_tools("cocoeval")
    folder = out or Path("runs") / recipe.name
    check_folder(folder, resume)
    train, calibration = held_out(read_coco(data / "train", data / "train.json"))
    if recipe.network.head.masks and not train.has_masks:
        raise RecipeError(f"{recipe.name} has masks, but {data} has none")
    report = on_epoch or TimeLeft(recipe).report
    on = choose_device(device)
    try:
        detector = DetectionTrainer(recipe, train, calibration, folder, on, workers, report).run()
    except KeyboardInterrupt:
        raise interrupted(resume) from None
    path, profile = folder / f"{recipe.name}.safetensors", None
    if isinstance(detector, Detector):
        profile = profile_of(
            recipe.name, recipe.size, recipe.quality, train.images, train.classes, letter_boxed
        )
    trained = TrainedDetector(detector, recipe, train.classes, profile)
    export_detector(path, trained, train, calibration, data.name, workers)
    Console().print(f"wrote {path}", soft_wrap=True, highlight=False)
    return path


@dataclass
class TimeLeft:
    """Estimates the time of the remaining epochs from those of this process."""

    recipe: DetectionRecipe
    _seconds: dict[int, list[float]] = field(default_factory=dict)

    def report(self, line: DetectionEpoch) -> None:
        """Print the time left for the network in training; another network's is not known yet."""
        area = (line.size / self.recipe.size) ** 2
        self._seconds.setdefault(line.step, []).append(line.seconds / area)
        mean = sum(self._seconds[line.step]) / len(self._seconds[line.step])
        epochs = self.recipe.epochs[line.step]
        left = sum(
            mean * (self.recipe.size_at(epoch / epochs) / self.recipe.size) ** 2
            for epoch in range(line.epoch + 1, epochs)
        )
        later = sum(1 for n in self.recipe.epochs[line.step + 1 :] if n)
        more = f", then {later} more network" if later else ""
        Console().print(f"  {duration(left)} left for this one{more}", highlight=False)
