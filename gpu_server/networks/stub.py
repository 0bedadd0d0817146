"""A network without weights: with `--device stub`, a server shows what it can do apart from its network."""

import re
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.repository.cards import AnyCard
from overtone.models import Card

DEVICE = "stub"
# "stub:20" takes 20 ms for a batch of any size, as a GPU would, and no processor time.
_TIMED = re.compile(rf"{DEVICE}:(\d+)")
# Of the first class, so that every operating point is sure of it.
LOGIT = 100.0
LARGEST = 64
# Length of a detector's row without a thing, see `detection_rows`.
NOTHING = 2


def seconds_of(device: str) -> float | None:
    """The seconds that a batch takes if a device of this name is the stub, else None."""
    if device == DEVICE:
        return 0.0
    timed = _TIMED.fullmatch(device)
    return int(timed[1]) / 1000 if timed else None


class StubNetwork:
    """Takes what a model of this card takes, looks at none of it, and always says the first class, or finds nothing.

    Args:
        card: for the shapes.
        sizes: the last one is the largest batch; without any it is 64.
        seconds: that a batch takes.
    """

    def __init__(self, card: AnyCard, sizes: tuple[int, ...] = (), seconds: float = 0.0) -> None:
        self._card = card
        self._largest = sizes[-1] if sizes else LARGEST
        self._seconds = seconds

    def batch_size(self, waiting: int) -> int:
        """All that wait."""
        return min(waiting, self._largest)

    def example(self) -> DecodedImage:
        """An image without content."""
        return DecodedImage.blank(self._card.profile)

    def warm(self) -> None:
        """Nothing to warm."""

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K], the same for every image."""
        if self._seconds:
            time.sleep(self._seconds)
        if not isinstance(self._card, Card):
            return np.zeros((len(images), NOTHING), np.float32)
        logits = np.zeros((len(images), len(self._card.profile.labels)), np.float32)
        logits[:, 0] = LOGIT
        return logits
