"""An operating point: when a low answer is final, and the certificate of what that costs."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from overtone.models.deferral import Rule

Method = Literal["risk control", "high probability", "share", "bytes"]


class OperatingPoint(BaseModel):
    """A threshold on the low confidence (or a rate-aware rule), and what is promised of it.

    All promises are for pictures like the `n` it was chosen on, at one quality of one profile. By `method`:

    - "risk control": top-1 lost by answering early is at most `alpha` in expectation over the choice of those
      n pictures (conformal risk control, Angelopoulos et al. 2022, theorem 1);
    - "high probability": it is at most `alpha`, but for one choice in 1 / `delta` (fixed sequence of
      Clopper-Pearson bounds, as in Learn then Test, Angelopoulos et al. 2021);
    - "share": high is asked for in at most `share` of the pictures, in expectation over that choice;
    - "bytes": a picture takes at most `bytes` payload bytes, in expectation over that choice, as long as none
      takes more than the largest of the n;
    - None: nothing. It was written before certificates, or by hand.

    Attributes:
        k: how many of the n would be lost by answering early.
        quality: of the profile, at which it was chosen.
        profile: id, in hexadecimal.
        exit_share: of the n, answered from low.
        mean_bytes: of the n, payload bytes a picture.
        data: what the n pictures are.
        rule: decides in place of the threshold where the size of high is known; the threshold, chosen for the
            same promise, remains for where it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    threshold: float = Field(ge=0)
    method: Method | None = None
    alpha: float | None = None
    delta: float | None = None
    share: float | None = None
    bytes: float | None = None
    n: int = 0
    k: int | None = None
    quality: int | None = None
    profile: str | None = None
    exit_share: float | None = None
    mean_bytes: float | None = None
    data: str = ""
    rule: Rule | None = None

    def escalates(
        self, probabilities: NDArray[np.floating], high_bytes: NDArray[np.integer] | None = None
    ) -> NDArray[np.bool_]:
        """Whether to ask for high, bool[n], by low's probabilities [n, K] and the sizes of high, if known."""
        if self.rule is not None and high_bytes is not None:
            return self.rule.escalates(probabilities, high_bytes)
        asks: NDArray[np.bool_] = probabilities.max(axis=-1) < self.threshold
        return asks
