"""Whether confidence can be believed: how often answers are right, bin of confidence by bin of confidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Answers by confidence, in bins of equal width (k/M, (k+1)/M]; empty bins hold zeros.

    `counts` int64[M]; `confidence` and `accuracy` float64[M] are means over the answers of a bin.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def n(self) -> int:
        """How many answers there are in all bins."""
        return int(self.counts.sum())

    @property
    def error(self) -> float:
        """Expected calibration error, a fraction: the mean gap over answers (Guo et al. 2017, equation 3)."""
        return float(self.counts @ np.abs(self.accuracy - self.confidence) / self.n)

    @property
    def mean_confidence(self) -> float:
        """Over all answers."""
        return float(self.counts @ self.confidence / self.n)

    @property
    def mean_accuracy(self) -> float:
        """Over all answers."""
        return float(self.counts @ self.accuracy / self.n)

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64[M + 1]: where bins begin and end."""
        return np.linspace(0, 1, len(self.counts) + 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; empty bins are left out."""
        bins = [
            {"from": low, "to": high, "n": n, "confidence": confidence, "top1": accuracy}
            for low, high, n, confidence, accuracy in self.rows()
        ]
        return {"ece": self.error, "confidence": self.mean_confidence, "bins": bins}

    def rows(self) -> list[tuple[float, float, int, float, float]]:
        """(from, to, answers, mean confidence, accuracy) of each bin that is not empty."""
        columns = self.edges[:-1], self.edges[1:], self.counts, self.confidence, self.accuracy
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [row for row in rows if row[2]]


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Answers binned by their confidence, float64[n] in (0, 1]; `right` bool[n]."""
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    divisor = np.maximum(counts, 1)
    return Reliability(
        counts,
        np.bincount(index, weights=confidence, minlength=bins) / divisor,
        np.bincount(index, weights=right, minlength=bins) / divisor,
    )
