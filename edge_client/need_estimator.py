"""An estimate of the number of layers that the server needs of a device's images.

The share of images that need more than i layers is the product of the shares that went on after 1, 2, ..., i layers,
each among the images that were judged after so many (the product-limit estimate, Kaplan and Meier 1958). The server
judges an image after each layer in turn, even where several come together.
"""

from itertools import accumulate
from operator import mul
from typing import Final

from overtone.edge_client.observation import Observation

# The share of images that the first layer answers, where no card gives it, and the same of every further layer among
# the images that need it.
USUAL_EXIT_SHARE: Final = 0.7
LATER_EXIT_SHARE: Final = 0.5
# How many images these shares count for, and that of a card: a few images outvote a guess, a card takes more.
USUAL_WEIGHT: Final = 4.0
CARD_WEIGHT: Final = 20.0
# The number of images after which older ones begin to count for less.
MEMORY: Final = 200.0


class Share:
    """The share of images with some property; older images count for less."""

    def __init__(self, share: float, weight: float) -> None:
        self._images, self._positive = weight, weight * share

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self._positive / self._images

    def count(self, positive: bool) -> None:
        """Count an image, and whether it has the property."""
        fade = min(1.0, MEMORY / (self._images + 1))
        self._images = fade * (self._images + 1)
        self._positive = fade * (self._positive + positive)


class NeedEstimator:
    """Estimates the shares of images that need more than 1, 2, ... layers.

    Args:
        exit_share: the share of images that the first layer answers, as the model's card gives it.
    """

    def __init__(self, exit_share: float | None = None) -> None:
        if exit_share is None:
            self._goes_on = [Share(1 - USUAL_EXIT_SHARE, USUAL_WEIGHT)]
        else:
            self._goes_on = [Share(1 - exit_share, CARD_WEIGHT)]

    def shares(self, layers: int) -> tuple[float, ...]:
        """p_0, ..., p_(n-1) of images of n layers: p_i is the share that needs more than i of them; p_0 is 1."""
        return tuple(accumulate((self._after(i).value for i in range(1, layers)), mul, initial=1.0))

    def observe(self, seen: Observation) -> None:
        """Learn from an image that was answered."""
        for layers in range(1, seen.needed):
            self._after(layers).count(True)
        if seen.settled and seen.needed < len(seen.sizes):
            self._after(seen.needed).count(False)

    def _after(self, layers: int) -> Share:
        while len(self._goes_on) < layers:
            self._goes_on.append(Share(1 - LATER_EXIT_SHARE, USUAL_WEIGHT))
        return self._goes_on[layers - 1]
