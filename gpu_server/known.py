"""What is known of one image, between its layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded, Layer, Profile


@dataclass(frozen=True, slots=True)
class Known:
    """One image as a network takes it.

    Attributes:
        decoded: what its first layers tell.
        low_logits: float32[K] of the low network on the same low values, where it has run on them; a mixed high
            answer needs them.
    """

    decoded: Decoded
    low_logits: NDArray[np.float32] | None = None

    @property
    def layers(self) -> int:
        """How many layers are known."""
        return self.decoded.layers

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = (self.decoded.values, self.decoded.steps, self.low_logits)
        return sum(array.nbytes for array in arrays if array is not None)

    @classmethod
    def blank(cls, profile: Profile) -> Self:
        """An image without content, with all layers."""
        layers = len(profile.ladder)
        steps = profile.known_steps(profile.quality, layers)
        values = np.zeros((len(steps), profile.blocks, profile.blocks), np.int16)
        return cls(Decoded(values, steps, profile.quality, layers))

    @classmethod
    def after(cls, known: Self | None, decoded: Decoded, ladder: Sequence[Layer]) -> Self:
        """What is known after further layers; the low network's logits are lost where low values became finer."""
        if known is None:
            return cls(decoded)
        same = all(layer.band != "low" for layer in ladder[known.layers : decoded.layers])
        return cls(decoded, known.low_logits if same else None)
