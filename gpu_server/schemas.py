"""JSON bodies of the REST API. Their fields are a contract."""

from pydantic import BaseModel

from overtone.gpu_server import answer as core


class Low(BaseModel):
    """The low answer so far, for a device that cannot afford high."""

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
    top: list[Score]
    model: str
    timings: Timings


class NeedHigh(BaseModel):
    """Low was not enough: send the high payload with this token before it expires."""

    token: str
    high_bytes: int | None
    low: Low
    expires_s: float


class Error(BaseModel):
    """The name of a gRPC status code, and a sentence."""

    code: str
    message: str


class Failure(BaseModel):
    """The body of every response that is not an answer."""

    error: Error


def answer(given: core.Answer, model: str) -> Answer:
    """An answer as JSON."""
    best, timings = given.best, given.timings
    return Answer(
        label=best.label,
        index=best.index,
        confidence=best.probability,
        stage=given.stage,
        confident=given.confident,
        top=[Score(label=s.label, index=s.index, probability=s.probability) for s in given.top],
        model=model,
        timings=Timings(queue_ms=1000 * timings.queue, compute_ms=1000 * timings.compute),
    )


def need_high(token: str, need: core.NeedHigh, ttl: float) -> NeedHigh:
    """A request for high as JSON."""
    best = need.low.best
    low = Low(label=best.label, index=best.index, confidence=best.probability)
    return NeedHigh(token=token, high_bytes=need.high_bytes, low=low, expires_s=ttl)


def failure(code: str, message: str) -> Failure:
    """An error as JSON."""
    return Failure(error=Error(code=code, message=message))
