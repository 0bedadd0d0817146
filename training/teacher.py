"""The teacher of an adapted cascade: the published network itself, on whole images."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from overtone.models import Body, Card, Cascade, Origin
from overtone.models.bodies import RGBNetwork, create_rgb
from overtone.training.body_config import class_count
from overtone.training.data import DataError, Images, ordered_loader, read_split, read_unlabelled, split
from overtone.training.pretrained import PretrainedError, find_pretrained
from overtone.training.progress import tracked

BATCH = 64


@dataclass(frozen=True)
class Teacher:
    """A network on RGB images of `size` pixels a side, in eval mode, and where it comes from."""

    name: str
    network: RGBNetwork
    classes: int
    origin: Origin
    size: int

    @classmethod
    def load(cls, body: Body, size: int, file: Path | None, device: torch.device) -> "Teacher":
        """The teacher with published weights, or with those of a file.

        Raises:
            PretrainedError: there are no such weights.
            StartError: they are of another network.
        """
        found = find_pretrained(body, file)
        classes = class_count(body, found.weights)
        network = create_rgb(body, classes)
        # Weights may be stored without the number of batches that normalisations have seen.
        network.network.load_state_dict(network.network.state_dict() | found.weights)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        origin = Origin(
            weights=found.origin, licence=found.licence, teacher=body.name, library=body.library, size=size
        )
        return cls(body.name, network.eval().requires_grad_(False), classes, origin, size)

    @torch.inference_mode()
    def answered(self, images: Images, workers: int = 0) -> Images:
        """The images with the teacher's answers as targets; it sees them cropped as on a device."""
        device = self.network.normalise.mean.device
        loader = ordered_loader(images, self.size, BATCH, workers)
        answers: list[int] = []
        for rgb, _ in tracked(loader, f"answers of {self.name}", len(loader)):
            answers += self.network(rgb.to(device)).argmax(dim=1).tolist()
        return replace(images, targets=tuple(answers))


def teacher_of(card: Card, model: Cascade, file: Path | None) -> Teacher:
    """The teacher that a card names, on the device of its cascade.

    Raises:
        PretrainedError: the card names none, or other weights than those that are here.
    """
    origin = card.origin
    if origin is None or origin.teacher is None:
        raise PretrainedError(
            f"{card.name}: its card names no teacher to agree with; only `overtone adapt` makes such checkpoints"
        )
    body = Body(name=origin.teacher, library=origin.library, pixels=8)
    device = next(model.parameters()).device
    found = Teacher.load(body, origin.size or card.profile.size, file, device)
    if file is None and found.origin.weights != origin.weights:
        raise PretrainedError(
            f"{card.name} learned from {origin.weights}, but here {body.name} has {found.origin.weights}: "
            "give the teacher's file with --weights"
        )
    if found.classes != len(card.classes):
        raise PretrainedError(
            f"{card.name} has {len(card.classes)} classes, the weights of {body.name} {found.classes}"
        )
    return found


def read_any(data: Path, name: str, classes: tuple[str, ...]) -> Images:
    """The images of a split, labelled or not; a folder without a sub-folder of that name is itself the split.

    The calibration split is a tenth of `train`, as for `overtone adapt`.

    Raises:
        DataError: no such folder or data set, or no images.
    """
    if name == "calibration":
        return split(read_any(data, "train", classes))[1]
    if not data.is_dir():
        found = read_split(data, name)
        return Images(found.paths, (0,) * len(found), classes)
    inner = data / name
    return read_unlabelled(inner if inner.is_dir() else data, classes)


def read_labels(file: Path, count: int) -> tuple[str, ...]:
    """The labels in a file, one a line.

    Raises:
        DataError: not as many lines as classes.
    """
    lines = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    if len(lines) != count:
        raise DataError(f"{file}: {len(lines)} labels for {count} classes; give one a line")
    return lines
