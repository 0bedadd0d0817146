"""An operating point: from which confidence on a low answer is final, and what is guaranteed of it."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["risk control", "high probability", "share", "bytes"]


class OperatingPoint(BaseModel):
    """A threshold on the confidence of the low answer, and its certificate.

    Every guarantee is about images drawn from the same source as the `n` calibration images, at one quality
    of one profile. By `method`:

    - "risk control": answering early loses at most `alpha` of top-1, in expectation over the choice of the n
      images (conformal risk control, Angelopoulos et al. 2022, theorem 1);
    - "high probability": it loses at most `alpha`, except with probability `delta` over that choice (fixed
      sequence of Clopper-Pearson bounds, as in Learn then Test, Angelopoulos et al. 2021);
    - "share": high is requested for at most `share` of the images, in expectation over that choice;
    - "bytes": the mean payload is at most `bytes`, in expectation over that choice, provided that no image
      takes more bytes than the largest of the n;
    - None: nothing is guaranteed; the threshold was chosen by hand.

    Attributes:
        k: how many of the n images would be lost by answering early.
        quality: the quality of the profile at which the threshold was chosen.
        profile: id of the profile, in hexadecimal.
        exit_share: share of the n images that low answers.
        mean_bytes: mean payload bytes of the n images.
        data: name of the data set and split of the n images.
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

    @model_validator(mode="before")
    @classmethod
    def _ignore_empty_rule(cls, value: Any) -> Any:
        # The bundled cards have this key, always empty: a threshold decides.
        if isinstance(value, dict) and value.get("rule", ...) is None:
            return {key: entry for key, entry in value.items() if key != "rule"}
        return value

    def escalates(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether high is requested, bool[n], given low's probabilities [n, classes]."""
        unsure: NDArray[np.bool_] = probabilities.max(axis=-1) < self.threshold
        return unsure
