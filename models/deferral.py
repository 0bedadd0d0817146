"""The rate-aware rule: ask for high where the gain expected of it is worth its bytes.

What a low answer says of itself is in its probabilities; what high would cost, the low payload announces. So
the rule needs nothing but these two, and the server decides exactly as `training` measured.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

Floats = NDArray[np.float64]

FEATURES = ("constant", "log-odds of the best", "log ratio of the best two", "entropy")
# Beyond this a float32 probability tells nothing more.
CERTAIN = 1e-4


def features(probabilities: NDArray[np.floating]) -> Floats:
    """What a low answer tells of itself, float64[n, len(FEATURES)], from probabilities [n, K], K >= 2."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1.0)
    second, best = np.moveaxis(np.partition(p, -2, axis=-1)[..., -2:], -1, 0)
    sure = np.clip(best, CERTAIN, 1 - CERTAIN)
    odds = np.log(sure / (1 - sure))
    margin = np.log(sure / np.clip(second, CERTAIN, 1))
    entropy = -(p * np.log(p)).sum(axis=-1)
    return np.stack([np.ones_like(best), odds, margin, entropy], axis=-1)


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    value: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return value


class Rule(BaseModel):
    """Escalate when P(both right) - P(low right) > price * high bytes.

    Both probabilities are logistic in `features`; `price` is the accuracy a byte must bring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    both: tuple[float, ...]
    low: tuple[float, ...]
    price: float

    @model_validator(mode="after")
    def _fits_the_features(self) -> "Rule":
        if len(self.both) != len(FEATURES) or len(self.low) != len(FEATURES):
            raise ValueError(f"a rule has {len(FEATURES)} coefficients a model: {', '.join(FEATURES)}")
        return self

    def gain(self, probabilities: NDArray[np.floating]) -> Floats:
        """Expected gain in accuracy float64[n] from asking for high, given low's probabilities [n, K]."""
        x = features(probabilities)
        return logistic(x @ np.array(self.both)) - logistic(x @ np.array(self.low))

    def worth(self, probabilities: NDArray[np.floating], high_bytes: NDArray[np.integer]) -> Floats:
        """Expected gain a byte float64[n]; what `price` is compared with."""
        worth: Floats = self.gain(probabilities) / np.maximum(high_bytes, 1)
        return worth

    def escalates(
        self, probabilities: NDArray[np.floating], high_bytes: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Whether to ask for high, bool[n]."""
        asks: NDArray[np.bool_] = self.worth(probabilities, high_bytes) > self.price
        return asks
