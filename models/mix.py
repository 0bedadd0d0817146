"""The high answer as a mix of both networks' logits, in one place for training and serving."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Logits = TypeVar("Logits", Tensor, NDArray[np.float64])


class Mix(BaseModel):
    """softmax(low * low logits + high * high logits); high alone is (0, 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float

    def __call__(self, low: Logits, high: Logits) -> Logits:
        """Mixed logits [N, K]; a constant added to a row of either changes no probability."""
        return self.low * low + self.high * high
