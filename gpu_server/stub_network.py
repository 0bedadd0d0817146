"""A network that answers at once: with `--device stub`, a server shows what it can do apart from its network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.known import Known
from overtone.models import Card

DEVICE = "stub"
# Of the first class, so that every operating point is sure of it.
LOGIT = 100.0
LARGEST = 64


class StubNetwork:
    """Takes what a model of this card takes, looks at none of it, and always says the first class.

    Args:
        card: for the shapes.
        sizes: the last one is the largest batch; without any it is 64.
    """

    def __init__(self, card: Card, sizes: tuple[int, ...] = ()) -> None:
        self._card = card
        self._largest = sizes[-1] if sizes else LARGEST

    def batch_size(self, waiting: int) -> int:
        """All that wait."""
        return min(waiting, self._largest)

    def example(self) -> Known:
        """An image without content."""
        profile = self._card.profile
        layers = len(profile.ladder)
        steps = profile.known_steps(profile.quality, layers)
        values = np.zeros((len(steps), profile.blocks, profile.blocks), np.int16)
        return Known(Decoded(values, steps, profile.quality, layers))

    def warm(self) -> None:
        """Nothing to warm."""

    def run(self, stage: Stage, images: Sequence[Known]) -> NDArray[np.float32]:
        """Logits float32[N, K], the same for every image."""
        logits = np.zeros((len(images), len(self._card.profile.labels)), np.float32)
        logits[:, 0] = LOGIT
        return logits
