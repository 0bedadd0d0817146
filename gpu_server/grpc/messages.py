"""Conversion of the core's options and answers from and to protobuf messages."""

import asyncio
from collections.abc import Container

from overtone.gpu_server.answer import Answer, Detection, NeedMore, Options, Score, Stage
from overtone.gpu_server.errors import ServiceError
from overtone.protos import overtone_pb2 as pb

STAGES = {Stage.LOW: pb.STAGE_LOW, Stage.HIGH: pb.STAGE_HIGH, Stage.BROWNOUT: pb.STAGE_BROWNOUT}


def options(message: pb.Options, image: pb.Image | pb.ClassifyRequest | None = None) -> Options:
    """The options of a session or call, with the picture size of an image; their deadline counts from now."""
    now = asyncio.get_running_loop().time()
    expires = now + message.deadline_ms / 1000 if message.deadline_ms else None
    size = image.picture if image is not None and image.HasField("picture") else None
    picture = (size.width, size.height) if size is not None else None
    return Options(message.operating_point, message.top or 1, expires, message.model, picture=picture)


def answer(image: int, given: Answer, unnamed: Container[int] = ()) -> pb.Answer:
    """An answer as a message; classes get their labels if their index is in `unnamed`."""
    return pb.Answer(
        id=image,
        stage=STAGES[given.stage],
        confident=given.confident,
        top=[score(s, s.index in unnamed) for s in given.top],
        queue_us=_micros(given.timings.queue),
        compute_us=_micros(given.timings.compute),
        layers=given.layers,
        detections=[detection(d, d.score.index in unnamed) for d in given.detections],
    )


def need_more(image: int, need: NeedMore) -> pb.NeedMore:
    """A request for further layers, with a classifier's answer so far for a device that cannot afford them."""
    so_far = score(need.so_far.best) if need.so_far.top else None
    return pb.NeedMore(id=image, layers=need.layers, so_far=so_far, blocks=need.blocks)


def again(image: int, layers: int) -> pb.NeedMore:
    """A request for all layers up to this number, because the stored image was lost."""
    return pb.NeedMore(id=image, layers=layers, again=True)


def error(image: int, failure: ServiceError) -> pb.Error:
    """The failure of one image as a message."""
    retry = round(1000 * failure.retry_after) if failure.retry_after else 0
    return pb.Error(id=image, code=failure.number, message=failure.message, retry_after_ms=retry)


def score(given: Score, named: bool = False) -> pb.Score:
    """A class, with its label if it is to be named, and its probability as a message."""
    return pb.Score(index=given.index, probability=given.probability, label=given.label if named else "")


def detection(given: Detection, named: bool = False) -> pb.Detection:
    """A detected object as a message; `named` as in `score`."""
    left, top, right, bottom = given.box
    message = pb.Detection(score=score(given.score, named), left=left, top=top, right=right, bottom=bottom)
    if (mask := given.mask) is not None:
        message.mask.CopyFrom(pb.Mask(width=mask.width, height=mask.height, counts=mask.counts))
    return message


def _micros(seconds: float) -> int:
    return min(max(round(1e6 * seconds), 0), 2**32 - 1)
