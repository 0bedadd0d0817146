"""Conversion between what the core uses and the gRPC messages."""

import asyncio

from overtone.gpu_server.answer import Answer, NeedHigh, Options, Score, Stage
from overtone.gpu_server.errors import ServiceError
from overtone.protos import overtone_pb2 as pb

STAGES = {Stage.LOW: pb.STAGE_LOW, Stage.HIGH: pb.STAGE_HIGH, Stage.BROWNOUT: pb.STAGE_BROWNOUT}


def options(message: pb.Options) -> Options:
    """Options of a session or call; a deadline in them begins now."""
    now = asyncio.get_running_loop().time()
    expires = now + message.deadline_ms / 1000 if message.deadline_ms else None
    return Options(message.operating_point, message.top or 1, expires)


def answer(image: int, given: Answer) -> pb.Answer:
    """An answer as a message; it has no labels, because the device knows them from its profile."""
    return pb.Answer(
        id=image,
        stage=STAGES[given.stage],
        confident=given.confident,
        top=[score(s) for s in given.top],
        queue_us=_micros(given.timings.queue),
        compute_us=_micros(given.timings.compute),
    )


def need_high(image: int, need: NeedHigh) -> pb.NeedHigh:
    """A request for high, with the low answer for a device that cannot afford high."""
    return pb.NeedHigh(id=image, low=score(need.low.best))


def error(image: int, failure: ServiceError) -> pb.Error:
    """The failure of one image as a message."""
    retry = round(1000 * failure.retry_after) if failure.retry_after else 0
    return pb.Error(id=image, code=failure.number, message=failure.message, retry_after_ms=retry)


def score(given: Score) -> pb.Score:
    """A class and its probability as a message."""
    return pb.Score(index=given.index, probability=given.probability)


def _micros(seconds: float) -> int:
    return min(max(round(1e6 * seconds), 0), 2**32 - 1)
