"""One image as far as its layers have been decoded: what a network takes, and what is stored between two layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded, Layer, LetterBox, Profile


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The decoded layers of one image, with the rows that the low network has already returned for it.

    Attributes:
        decoded: quantised values int16[C, h, w] and steps float32[C] of the first layers.
        low_row: float32[K], the low network's row for the same low values, where it has run on them; the answer of
            the high stage may be a mix with it.
        first_row: float32[K], the low network's row after the first layer, kept by tasks that need it to the end.
        letter_box: where the picture lies in the square image; None if it fills the image.
    """

    decoded: Decoded
    low_row: NDArray[np.float32] | None = None
    first_row: NDArray[np.float32] | None = None
    letter_box: LetterBox | None = None

    @property
    def layers(self) -> int:
        """How many layers have been decoded."""
        return self.decoded.layers

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        arrays = (self.decoded.values, self.decoded.steps, self.low_row, self.first_row)
        return sum(array.nbytes for array in arrays if array is not None)

    @classmethod
    def after(
        cls,
        earlier: Self | None,
        decoded: Decoded,
        ladder: Sequence[Layer],
        letter_box: LetterBox | None = None,
    ) -> Self:
        """The image after further layers.

        `low_row` is dropped if one of these layers refines low values, because the low network has not seen them.

        Args:
            earlier: the image before these layers; None if they are the first ones.
            decoded: all layers up to now.
            ladder: the layers of the profile.
            letter_box: for first layers; later ones keep that of `earlier`.
        """
        if earlier is None:
            return cls(decoded, letter_box=letter_box)
        same_low = all(layer.band != "low" for layer in ladder[earlier.layers : decoded.layers])
        return cls(decoded, earlier.low_row if same_low else None, earlier.first_row, earlier.letter_box)

    @classmethod
    def blank(cls, profile: Profile) -> Self:
        """An image of all layers whose values are zero, to warm and to test networks."""
        layers = len(profile.ladder)
        steps = profile.known_steps(profile.quality, layers)
        values = np.zeros((len(steps), profile.blocks, profile.blocks), np.int16)
        return cls(Decoded(values, steps, profile.quality, layers))
