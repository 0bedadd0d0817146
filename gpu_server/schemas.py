"""JSON bodies of the REST API. Their fields are a contract."""

from pydantic import BaseModel, PositiveInt

from overtone.gpu_server import answer as core


class Options(BaseModel):
    """Query parameters of every route that answers."""

    operating_point: str = ""
    top: PositiveInt = 1
    model: str = ""


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


class NeedMore(BaseModel):
    """Send the layers after `layers_known`, up to `layers`, with this token before it expires."""

    token: str
    layers: int
    layers_known: int
    so_far: SoFar
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


def need_more(token: str, need: core.NeedMore, ttl: float) -> NeedMore:
    """A request for further layers as JSON."""
    best = need.so_far.best
    so_far = SoFar(label=best.label, index=best.index, confidence=best.probability)
    return NeedMore(token=token, layers=need.layers, layers_known=need.arrived, so_far=so_far, expires_s=ttl)


def failure(code: str, message: str) -> Failure:
    """An error as JSON."""
    return Failure(error=Error(code=code, message=message))
