"""What is known of one image, between its layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded, Layer, LetterBox, Profile


@dataclass(frozen=True, slots=True)
class Known:
    """One image as a network takes it.

    Attributes:
        decoded: what its first layers tell.
        low_row: float32[K], what the low network says of the same low values, where it has run on them; a mixed high
            answer needs it.
        first_row: float32[K], what it said after the first layer, for tasks that need it to the end.
        letter_box: where the picture lies in the image; None if it fills it.
    """

    decoded: Decoded
    low_row: NDArray[np.float32] | None = None
    first_row: NDArray[np.float32] | None = None
    letter_box: LetterBox | None = None

    @property
    def layers(self) -> int:
        """How many layers are known."""
        return self.decoded.layers

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        arrays = (self.decoded.values, self.decoded.steps, self.low_row, self.first_row)
        return sum(array.nbytes for array in arrays if array is not None)

    @classmethod
    def after(
        cls,
        known: Self | None,
        decoded: Decoded,
        ladder: Sequence[Layer],
        letter_box: LetterBox | None = None,
    ) -> Self:
        """What is known after further layers; what the low network said is lost where low values became finer.

        The letter box is told with the first layers, and stays.
        """
        if known is None:
            return cls(decoded, letter_box=letter_box)
        same = all(layer.band != "low" for layer in ladder[known.layers : decoded.layers])
        return cls(decoded, known.low_row if same else None, known.first_row, known.letter_box)

    @classmethod
    def blank(cls, profile: Profile) -> Self:
        """An image of all layers without content."""
        layers = len(profile.ladder)
        steps = profile.known_steps(profile.quality, layers)
        values = np.zeros((len(steps), profile.blocks, profile.blocks), np.int16)
        return cls(Decoded(values, steps, profile.quality, layers))
