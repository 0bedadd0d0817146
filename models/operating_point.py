"""Operating points of a classifier: the confidence from which an answer is final, and what that guarantees."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["risk control", "high probability", "share", "bytes"]


class Certificate(BaseModel):
    """The fields that operating points of all tasks share; `OperatingPoint` describes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    method: Method | None = None
    alpha: float | None = None
    delta: float | None = None
    share: float | None = None
    bytes: float | None = None
    n: int = 0
    quality: int | None = None
    profile: str | None = None
    mean_bytes: float | None = None
    data: str = ""


class OperatingPoint(Certificate):
    """Thresholds on the confidence of the answer after each layer, and their certificate.

    Every guarantee is about images drawn from the same source as the `n` calibration images, at one quality
    of one profile. By `method`:

    - "risk control": answering early loses at most `alpha` of top-1, in expectation over the choice of the n
      images (conformal risk control, Angelopoulos et al. 2022, theorem 1);
    - "high probability": it loses at most `alpha`, except with probability `delta` over that choice (fixed
      sequence of Clopper-Pearson bounds, as in Learn then Test, Angelopoulos et al. 2021);
    - "share": more than the first layer is requested for at most `share` of the images, in expectation over that
      choice;
    - "bytes": the mean payload is at most `bytes`, in expectation over that choice, provided that no image
      takes more bytes than the largest of the n;
    - None: nothing is guaranteed; the thresholds were chosen by hand.

    Attributes:
        thresholds: after each layer but the last, the confidence from which on the answer is final.
        all_below: after each layer but the last, the confidence below which all further layers are requested at
            once, and not only the next one; empty if always only the next one is.
        k: how many of the n images would be lost by answering early.
        quality: the quality of the profile at which the thresholds were chosen.
        profile: id of the profile, in hexadecimal.
        exit_share: share of the n images that the first layer answers.
        mean_bytes: mean payload bytes of the n images.
        data: name of the data set and split of the n images.
    """

    thresholds: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    all_below: tuple[Annotated[float, Field(ge=0)], ...] = ()
    k: int | None = None
    exit_share: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_one_threshold(cls, value: Any) -> Any:
        # Older cards have two layers: one `threshold`, and a `rule` that is always empty.
        if isinstance(value, dict) and "threshold" in value:
            rest = {k: v for k, v in value.items() if k != "threshold" and (k, v) != ("rule", None)}
            return rest | {"thresholds": (value["threshold"],)}
        return value

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.all_below) not in (0, len(self.thresholds)):
            raise ValueError("all_below: need one for each threshold, or none")
        return self

    def wanted(self, confidence: float, layers: int) -> int:
        """How many layers are needed in all, given the confidence of the answer to the first `layers` of them.

        The result is `layers` itself if the answer is final.
        """
        if layers > len(self.thresholds) or confidence >= self.thresholds[layers - 1]:
            return layers
        at_once = self.all_below and confidence < self.all_below[layers - 1]
        return len(self.thresholds) + 1 if at_once else layers + 1

    def confident(self, confidence: float, layers: int) -> bool:
        """Whether the answer to the first `layers` layers reaches its threshold.

        The last layer has no threshold of its own; that of the layer before it counts.
        """
        return confidence >= self.thresholds[min(layers, len(self.thresholds)) - 1]
