"""The task of a classifier: the most probable classes, once the first of them is probable enough."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Answer, Options, Score, TaskName
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Inference
from overtone.gpu_server.tasks.task import Task, Verdict
from overtone.models import Card, OperatingPoint


class Classification(Task[OperatingPoint]):
    """A network's row is logits float32[K].

    Args:
        card: of the model.
        model: the name under which it is served.
        most: classes that an answer may have at most.
    """

    name: ClassVar[TaskName] = "classify"
    letter_boxed: ClassVar[bool] = False

    def __init__(self, card: Card, model: str, most: int) -> None:
        super().__init__(model, card.profile)
        self._card = card
        self._most = most

    @property
    def hint(self) -> str:
        """How to have an image classified."""
        return "send the image without the size of its picture, over REST to /v1/classify"

    def judge(self, layers: int, inference: Inference, options: Options) -> Verdict:
        """The answer is final if its confidence reaches the threshold of the operating point."""
        probabilities = softmax(inference.row, self._card.temperatures[layers - 1])
        confidence = float(probabilities.max())
        point = self.point(options, inference.image.decoded.quality)
        top = best(probabilities, self.profile.labels, min(options.top, self._most))
        return Verdict(point.wanted(confidence, layers), point.confident(confidence, layers), top)

    def agree(self, one: Answer, other: Answer) -> bool:
        """Whether the most probable class is the same."""
        return one.best.index == other.best.index

    def remember(self, image: DecodedImage, row: NDArray[np.float32]) -> DecodedImage:
        """The image with the logits, with which the high stage may mix its own."""
        return replace(image, low_row=row.copy())

    def exit_share(self, options: Options, quality: int | None) -> float | None:
        """The exit share of the operating point."""
        return self.point(options, quality).exit_share

    def _find(self, name: str | None, quality: int | None) -> OperatingPoint:
        return self._card.point(name, quality)


def best(probabilities: NDArray[np.float32], labels: tuple[str, ...], count: int) -> tuple[Score, ...]:
    """The `count` most probable classes of float32[K], best first; always at least one."""
    order = [probabilities.argmax()] if count <= 1 else np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Score(int(i), labels[i], float(probabilities[i])) for i in order)


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities float32[K] of logits float32[K] that are divided by a temperature first (Guo et al. 2017)."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    probabilities: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return probabilities
