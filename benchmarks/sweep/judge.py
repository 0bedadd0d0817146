"""The server's network and early exit on pictures, without a server."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import coefficients, quantise
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine import Bands
from overtone.gpu_server.network import TorchNetwork
from overtone.models import Card

BATCH = 32

Pixels = NDArray[np.uint8]


class Judge:
    """The server's network at the card's default operating point, on pixels."""

    def __init__(self, network: TorchNetwork, card: Card) -> None:
        self._network, self.profile = network, card.profile
        self._point = card.point(None, card.profile.quality)
        quality = card.profile.quality
        self._steps = card.profile.low_steps(quality), card.profile.high_steps(quality)
        self._threshold = card.profile.threshold(quality)

    def answers(self, pictures: Sequence[Pixels]) -> NDArray[np.int64]:
        """Class indices int64[N] of pictures uint8[size, size, 3]."""
        batches = [pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH)]
        return np.concatenate([self._batch([self._bands(each) for each in batch]) for batch in batches])

    def _batch(self, images: Sequence[Bands]) -> NDArray[np.int64]:
        first = self._network.run(Stage.LOW, images)
        asked = self._point.escalates(first)
        answers: NDArray[np.int64] = first.argmax(axis=1)
        if asked.any():
            unsure = [image for image, asks in zip(images, asked, strict=True) if asks]
            answers[asked] = self._network.run(Stage.HIGH, unsure).argmax(axis=1)
        return answers

    def _bands(self, picture: Pixels) -> Bands:
        channels, (low_steps, high_steps) = len(self.profile.low), self._steps
        values = coefficients(picture, self.profile.low + self.profile.high)
        low = quantise(values[:channels], low_steps, self._threshold)
        high = quantise(values[channels:], high_steps, self._threshold)
        return Bands(low, low_steps, high, high_steps)
