"""A network without weights: `--device stub` measures what a server can do apart from its network."""

import re
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.models import Card
from overtone.models.any_card import AnyCard

DEVICE = "stub"
# "stub:20" takes 20 ms for a batch of any size, as a GPU would, and no processor time.
_TIMED = re.compile(rf"{DEVICE}:(\d+)")
# The logit of the first class, high enough for every operating point.
LOGIT = 100.0
LARGEST = 64
# The length of a detector's row without objects, see `detection_rows`.
EMPTY_ROW = 2


def seconds_of(device: str) -> float | None:
    """The seconds that a batch takes if a device of this name is the stub, else None."""
    if device == DEVICE:
        return 0.0
    timed = _TIMED.fullmatch(device)
    return int(timed[1]) / 1000 if timed else None


class StubNetwork:
    """Accepts the images of a model and ignores them: it always returns the first class, or no objects.

    Args:
        card: of the model.
        sizes: batch sizes, of which the last one is the limit; if empty, that is 64.
        seconds: how long a batch takes.
    """

    def __init__(self, card: AnyCard, sizes: tuple[int, ...] = (), seconds: float = 0.0) -> None:
        self._card = card
        self._largest = sizes[-1] if sizes else LARGEST
        self._seconds = seconds

    def batch_size(self, waiting: int) -> int:
        """All that wait."""
        return min(waiting, self._largest)

    def example(self) -> DecodedImage:
        """A blank image."""
        return DecodedImage.blank(self._card.profile)

    def warm(self) -> None:
        """Nothing to warm."""

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K], the same for every image."""
        if self._seconds:
            time.sleep(self._seconds)
        if not isinstance(self._card, Card):
            return np.zeros((len(images), EMPTY_ROW), np.float32)
        logits = np.zeros((len(images), len(self._card.profile.labels)), np.float32)
        logits[:, 0] = LOGIT
        return logits
