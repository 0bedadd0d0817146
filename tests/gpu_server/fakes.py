"""Networks without weights, for tests of what is around them."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.settings import Settings

EXAMPLE = -1


def decoded_image(mark: int = 0) -> DecodedImage:
    """An image that can be told from others."""
    return DecodedImage(Decoded(np.full((1, 1, 1), mark, np.int16), np.ones(1, np.float32), 1, 1))


def limits(**changes: Any) -> Settings:
    """Settings with these limits, which may be out of the range for servers."""
    return Settings().model_copy(update=changes)


class FakeNetwork:
    """Records what it is given, but for the engine's own example; while `gate` is cleared, batches wait in it.

    Attributes:
        batches: stage and marks of every batch.
        failing: how many of the next batches fail.
        not_numbers: marks of images whose logits are not numbers.
    """

    def __init__(self, largest: int = 4) -> None:
        self.batches: list[tuple[Stage, list[int]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failing = 0.0
        self.not_numbers: set[int] = set()
        self.warmed = False
        self.largest = largest

    def batch_size(self, waiting: int) -> int:
        return min(waiting, self.largest)

    def example(self) -> DecodedImage:
        return decoded_image(EXAMPLE)

    def warm(self) -> None:
        self.warmed = True

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        marks = [int(image.decoded.values.flat[0]) for image in images]
        if marks != [EXAMPLE]:
            self.batches.append((stage, marks))
        self.entered.set()
        assert self.gate.wait(30)
        if self.failing:
            self.failing -= 1
            raise RuntimeError("broken on purpose")
        rows = np.tile(np.array([0.2, 0.7, 0.1], np.float32), (len(images), 1))
        rows[[mark in self.not_numbers for mark in marks]] = np.nan
        return rows
