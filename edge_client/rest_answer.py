"""From the JSON of REST's answers to `RawAnswer`, which may lack labels yet."""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overtone.edge_client import errors
from overtone.edge_client.answer import Score
from overtone.edge_client.detection import Box, Detection
from overtone.edge_client.mask import Mask
from overtone.edge_client.stage import STAGES
from overtone.edge_client.transport import RawAnswer, Upload


@dataclass(frozen=True)
class LayerRequest:
    """A server's request for further layers.

    Attributes:
        token: names the image in the next request.
        layers: the number of layers that are needed in all.
        blocks: the packed mask of the blocks that are needed; empty for all.
    """

    token: str
    layers: int
    blocks: bytes


def raw_answer(body: Mapping[str, Any], upload: Upload) -> RawAnswer:
    """The answer to an upload.

    Raises:
        WrongTask: the model has another task.
        ProtocolError: the answer is incomplete.
    """
    try:
        model = str(body["model"])
        upload.check(model, str(body.get("task", "")))
        detects = upload.task == "detect"
        top = () if detects else tuple(map(_score, body["top"]))
        detections = tuple(map(detection, body["detections"])) if detects else ()
        timings, stage, layers = body["timings"], body["stage"], int(body["layers"])
        if not (top or detects) or stage not in STAGES or not 0 < layers <= upload.count:
            raise ValueError(json.dumps([stage, layers]))
        queue, compute = float(timings["queue_ms"]), float(timings["compute_ms"])
        confident = bool(body["confident"])
        return RawAnswer(top, stage, layers, confident, queue, compute, model, detections=detections)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise errors.ProtocolError(f"the server's answer is incomplete ({error!r})") from error


def layer_request(body: Mapping[str, Any], sent: int, count: int) -> LayerRequest:
    """The server's request, after `sent` of the image's `count` layers were sent.

    Raises:
        ProtocolError: the request is incomplete, or for layers that the image does not have.
    """
    token, layers = body.get("token"), body.get("layers")
    if "layers" not in body and "token" in body:
        raise errors.WrongVersion
    if not isinstance(token, str) or not token.replace("-", "").replace("_", "").isalnum():
        raise errors.ProtocolError("the server asks for more layers, but gave no token for them")
    if not isinstance(layers, int) or not sent < layers <= count:
        raise errors.ProtocolError("the server asks for layers that there are not")
    try:
        return LayerRequest(token, layers, b64decode(body.get("blocks") or "", validate=True))
    except (TypeError, ValueError) as error:
        raise errors.ProtocolError("the server asks for blocks that cannot be read") from error


def _score(score: Mapping[str, Any]) -> Score:
    return Score(str(score["label"]), int(score["index"]), float(score["probability"]))


def detection(found: Mapping[str, Any]) -> Detection:
    """A detection, from the JSON object that `Detection.to_json` writes.

    Raises:
        ProtocolError: its edges are no box.
        LookupError, TypeError, ValueError: it is incomplete.
    """
    score, mask = _score(found), found.get("mask")
    left, top, right, bottom = map(float, found["box"])
    box = Box.of(left, top, right, bottom)
    return Detection(score.label, score.index, score.probability, box, mask and _mask(mask))


def _mask(mask: Mapping[str, Any]) -> Mask:
    height, width = map(int, mask["size"])
    return Mask(width, height, str(mask["counts"]).encode("ascii"))
