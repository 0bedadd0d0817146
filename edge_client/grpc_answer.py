"""From the protobuf message of an answer to `RawAnswer`, which may lack labels yet."""

from collections.abc import Iterator, Mapping
from typing import Any

from overtone.edge_client.answer import Score
from overtone.edge_client.detection import Box, Detection
from overtone.edge_client.errors import ProtocolError
from overtone.edge_client.mask import Mask
from overtone.edge_client.transport import RawAnswer, Upload
from overtone.protos import overtone_pb2 as pb

STAGES: dict[int, Any] = {pb.STAGE_LOW: "low", pb.STAGE_HIGH: "high", pb.STAGE_BROWNOUT: "brownout"}


def raw_answer(answer: pb.Answer, upload: Upload, labels: Mapping[int, str], model: str) -> RawAnswer:
    """The answer to an upload; `labels` are those of the classes that have been named so far.

    Raises:
        ProtocolError: it is incomplete.
    """
    if answer.stage not in STAGES or not 0 < answer.layers <= upload.count:
        raise ProtocolError("the server gave an answer without a stage or its layers")
    if upload.task == "classify" and not answer.top:
        raise ProtocolError("the server gave an answer without a class")
    return RawAnswer(
        tuple(Score(labels.get(s.index, ""), s.index, s.probability) for s in answer.top),
        STAGES[answer.stage],
        answer.layers,
        answer.confident,
        answer.queue_us / 1e3,
        answer.compute_us / 1e3,
        model,
        detections=tuple(_detection(each, labels) for each in answer.detections),
    )


def named_classes(answer: pb.Answer) -> Iterator[tuple[int, str]]:
    """The indices and labels of the classes that an answer names."""
    scores = [*answer.top, *(each.score for each in answer.detections)]
    return ((score.index, score.label) for score in scores if score.label)


def _detection(found: pb.Detection, labels: Mapping[int, str]) -> Detection:
    index = found.score.index
    mask = Mask(found.mask.width, found.mask.height, found.mask.counts) if found.HasField("mask") else None
    box = Box.of(found.left, found.top, found.right, found.bottom)
    return Detection(labels.get(index, ""), index, found.score.probability, box, mask)
