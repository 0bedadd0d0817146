"""The high answer as a mix of both networks' logits; trainer and server share this definition."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Logits = TypeVar("Logits", Tensor, NDArray[np.float64])


class Mix(BaseModel):
    """Weights of the two networks' logits in the high answer; (0, 1) would be high alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float

    def __call__(self, low: Logits, high: Logits) -> Logits:
        """Mixed logits [N, K]. A constant added to a row of either input changes no probability."""
        return self.low * low + self.high * high
