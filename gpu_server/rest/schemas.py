"""JSON bodies of the REST API, whose fields are a contract, and conversion of the core's answers to them."""

import base64
from typing import Self

from pydantic import BaseModel, PositiveInt, model_validator

from overtone.gpu_server import answer as core


class Options(BaseModel):
    """Query parameters of every route that answers; width and height are a picture's, of which layers do not tell."""

    operating_point: str = ""
    top: PositiveInt = 1
    model: str = ""
    width: PositiveInt | None = None
    height: PositiveInt | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("a picture has a width and a height")
        return self

    @property
    def picture(self) -> tuple[int, int] | None:
        """Width and height."""
        return (self.width, self.height) if self.width and self.height else None


class SoFar(BaseModel):
    """The answer so far, for a device that cannot afford more."""

    label: str
    index: int
    confidence: float


class Score(BaseModel):
    """A class and its probability."""

    label: str
    index: int
    probability: float


class Timings(BaseModel):
    """Milliseconds spent in the server."""

    queue_ms: float
    compute_ms: float


class Answer(BaseModel):
    """The final answer for one image."""

    label: str
    index: int
    confidence: float
    stage: core.Stage
    confident: bool
    layers: int
    top: list[Score]
    model: str
    version: str | None = None
    timings: Timings


class Mask(BaseModel):
    """Which pixels belong to a thing: the size is [height, width], the counts are compressed as COCO's API does."""

    size: tuple[int, int]
    counts: str


class Detection(BaseModel):
    """A thing that was found; its box is left, top, right, bottom as fractions of the picture."""

    label: str
    index: int
    probability: float
    box: tuple[float, float, float, float]
    mask: Mask | None = None


class Detected(BaseModel):
    """The final answer of a detector for one image."""

    task: core.TaskName = "detect"
    detections: list[Detection]
    stage: core.Stage
    confident: bool
    layers: int
    model: str
    version: str | None = None
    timings: Timings


class NeedMore(BaseModel):
    """Send the layers after `layers_known`, up to `layers`, with this token before it expires.

    If there are `blocks`, a packed block mask in base64, only these are wanted of them.
    """

    token: str
    layers: int
    layers_known: int
    so_far: SoFar | None = None
    blocks: str | None = None
    expires_s: float


class Error(BaseModel):
    """The name of a gRPC status code, and a sentence."""

    code: str
    message: str


class Failure(BaseModel):
    """The body of every response that is not an answer."""

    error: Error


def answer(given: core.Answer, model: str, version: str | None = None) -> Answer:
    """An answer as JSON, with the model's version where there may be several models."""
    best, timings = given.best, given.timings
    return Answer(
        label=best.label,
        index=best.index,
        confidence=best.probability,
        stage=given.stage,
        confident=given.confident,
        layers=given.layers,
        top=[Score(label=s.label, index=s.index, probability=s.probability) for s in given.top],
        model=model,
        version=version,
        timings=Timings(queue_ms=1000 * timings.queue, compute_ms=1000 * timings.compute),
    )


def detected(given: core.Answer, model: str, version: str | None = None) -> Detected:
    """A detector's answer as JSON."""
    timings = given.timings
    return Detected(
        detections=[_detection(found) for found in given.detections],
        stage=given.stage,
        confident=given.confident,
        layers=given.layers,
        model=model,
        version=version,
        timings=Timings(queue_ms=1000 * timings.queue, compute_ms=1000 * timings.compute),
    )


def need_more(token: str, need: core.NeedMore, ttl: float) -> NeedMore:
    """A request for further layers as JSON."""
    so_far = None
    if need.so_far.top:
        best = need.so_far.best
        so_far = SoFar(label=best.label, index=best.index, confidence=best.probability)
    blocks = base64.b64encode(need.blocks).decode() if need.blocks else None
    return NeedMore(
        token=token,
        layers=need.layers,
        layers_known=need.arrived,
        so_far=so_far,
        blocks=blocks,
        expires_s=ttl,
    )


def failure(code: str, message: str) -> Failure:
    """An error as JSON."""
    return Failure(error=Error(code=code, message=message))


def _detection(found: core.Detection) -> Detection:
    score = found.score
    return Detection(
        label=score.label,
        index=score.index,
        probability=score.probability,
        box=found.box,
        mask=None if found.mask is None else _mask(found.mask),
    )


def _mask(mask: core.Mask) -> Mask:
    return Mask(size=(mask.height, mask.width), counts=mask.counts.decode("ascii"))
