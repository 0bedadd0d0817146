"""Conversion between what the core uses and the gRPC messages."""

import asyncio
from collections.abc import Container

from overtone.gpu_server.answer import Answer, NeedMore, Options, Score, Stage
from overtone.gpu_server.errors import ServiceError
from overtone.protos import overtone_pb2 as pb

STAGES = {Stage.LOW: pb.STAGE_LOW, Stage.HIGH: pb.STAGE_HIGH, Stage.BROWNOUT: pb.STAGE_BROWNOUT}


def options(message: pb.Options) -> Options:
    """Options of a session or call; a deadline in them begins now."""
    now = asyncio.get_running_loop().time()
    expires = now + message.deadline_ms / 1000 if message.deadline_ms else None
    return Options(message.operating_point, message.top or 1, expires, message.model)


def answer(image: int, given: Answer, unnamed: Container[int] = ()) -> pb.Answer:
    """An answer as a message; classes are named where their index is in `unnamed`."""
    return pb.Answer(
        id=image,
        stage=STAGES[given.stage],
        confident=given.confident,
        top=[score(s, s.index in unnamed) for s in given.top],
        queue_us=_micros(given.timings.queue),
        compute_us=_micros(given.timings.compute),
        layers=given.layers,
    )


def need_more(image: int, need: NeedMore) -> pb.NeedMore:
    """A request for further layers, with the answer so far for a device that cannot afford them."""
    return pb.NeedMore(id=image, layers=need.layers, so_far=score(need.so_far.best))


def again(image: int, layers: int) -> pb.NeedMore:
    """A request for all layers up to this number, because what is known of the image was lost."""
    return pb.NeedMore(id=image, layers=layers, again=True)


def error(image: int, failure: ServiceError) -> pb.Error:
    """The failure of one image as a message."""
    retry = round(1000 * failure.retry_after) if failure.retry_after else 0
    return pb.Error(id=image, code=failure.number, message=failure.message, retry_after_ms=retry)


def score(given: Score, named: bool = False) -> pb.Score:
    """A class, with its label if it is to be named, and its probability as a message."""
    return pb.Score(index=given.index, probability=given.probability, label=given.label if named else "")


def _micros(seconds: float) -> int:
    return min(max(round(1e6 * seconds), 0), 2**32 - 1)
