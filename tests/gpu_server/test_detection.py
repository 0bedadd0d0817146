"""A server of two detectors and a classifier: boxes and masks over gRPC and REST, from a picture that is no square."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from shutil import copy
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image
from pycocotools import mask as coco

from overtone.frequency import (
    THREE_LAYERS,
    BlockMask,
    Encoded,
    LetterBox,
    Profile,
    decode,
    dequantise,
    encode,
    encode_region,
    join,
    letter_boxed,
    open_rgb,
)
from overtone.gpu_server.answer import Answer, Detection, Score, Stage
from overtone.gpu_server.engine.engine import Engine
from overtone.gpu_server.serve import Running
from overtone.gpu_server.tasks.detection import DetectionTask
from overtone.models.detection.checkpoint import load_detector, read_detector_card, rewrite_detector
from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.models.detection.regions import joined
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.gpu_server.conftest import SHARED_LOOP, table
from tests.gpu_server.test_grpc_server import Device, session, stub_of
from tests.ladders import with_ladder
from tests.models.detection.tiny_detector import MASKS, SURE, UNSURE, write_checkpoint
from tests.serving import Serve

pytestmark = SHARED_LOOP

SHOWN = 0.3
POINTS = (
    DetectionPoint(name="low", unsure=NEVER, shown=SHOWN),
    DetectionPoint(name="doubt", unsure=UNSURE, sure=SURE, margin=0, shown=SHOWN),
    DetectionPoint(name="whole", unsure=0, whole=True, shown=SHOWN),
)
SIZE = {"width": 128, "height": 96}
BOX, SQUARE = LetterBox(64, **SIZE), LetterBox(64, 64, 64)
LOW, DOUBT, WHOLE = ({"model": "boxes", "operating_point": point.name} for point in POINTS)


@dataclass(frozen=True)
class Detector:
    """A checkpoint, and what a device sends to it of the photograph."""

    path: Path
    profile: Profile
    encoded: Encoded

    @property
    def low(self) -> bytes:
        return self.encoded.layers[0]

    def region(self, blocks: bytes) -> tuple[bytes, ...]:
        """The layers after the first one in these blocks."""
        mask = BlockMask.unpack(blocks, (self.profile.blocks,) * 2)
        return encode_region(self.encoded, self.profile, mask).layers[1:]

    def found(self, point: DetectionPoint, *payloads: bytes, where: LetterBox = BOX) -> Detections:
        """What the network says, without the server's code; boxes are fractions of the square."""
        model, card = network(self.path)
        extents = torch.tensor([where.extent])

        def told(count: int) -> torch.Tensor:
            decoded = decode(payloads[:count], card.profile)
            return torch.from_numpy(dequantise(decoded.values, decoded.steps))[None]

        with torch.inference_mode():
            (found,) = model.low(told(1), extents)
            if len(payloads) > 1:
                found = joined(found, model.high(told(len(payloads)), extents)[0], point)
        return found.above(point.shown)


network = cache(load_detector)


def detector(path: Path, photograph: Photograph) -> Detector:
    card = read_detector_card(path)
    rewrite_detector(
        path, card.model_copy(update={"operating_points": POINTS, "operating_point": "doubt"}), path
    )
    square = letter_boxed(open_rgb(photograph), card.profile.size)
    return Detector(path, card.profile, encode(square, card.profile))


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    copy(tiny_checkpoint, made / "classes.safetensors")
    return made


@pytest.fixture(scope="module")
def boxes(tiny_detector: Path, folder: Path, photograph: Photograph) -> Detector:
    return detector(Path(copy(tiny_detector, folder / "boxes.safetensors")), photograph)


@pytest.fixture(scope="module")
def masks(folder: Path, tiny_profile: Profile, photograph: Photograph) -> Detector:
    """Whose images have three layers."""
    profile = with_ladder(tiny_profile, THREE_LAYERS)
    return detector(write_checkpoint(folder / "masks.safetensors", profile, MASKS), photograph)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(serve: Serve, folder: Path, boxes: Detector, masks: Detector) -> AsyncIterator[Running]:
    async with serve(models=folder, batch_sizes=(1,)) as running:
        yield running


@pytest.fixture(scope="module")
def png(photograph: Photograph) -> bytes:
    file = BytesIO()
    Image.fromarray(photograph).save(file, "PNG")
    return file.getvalue()


def points(name: str) -> DetectionPoint:
    return next(point for point in POINTS if point.name == name)


def assert_found(detections: Any, found: Detections, letter_box: LetterBox) -> None:
    """What a reply in JSON says is what the network said."""
    assert len(found) > 0
    assert [each["label"] for each in detections] == [("red", "blue")[i] for i in found.labels]
    np.testing.assert_allclose([each["probability"] for each in detections], found.scores, rtol=1e-3)
    expected = letter_box.to_picture(found.boxes.numpy())
    np.testing.assert_allclose([each["box"] for each in detections], expected, atol=1e-3)
    assert expected.max() == 1  # so that it matters which part of the square is the picture


async def test_low_answers_where_nothing_is_in_doubt(http: httpx.AsyncClient, boxes: Detector) -> None:
    reply = await http.post("/v1/images", params={**LOW, **SIZE}, content=join([boxes.low]))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert_found(body.pop("detections"), boxes.found(points("low"), boxes.low), BOX)
    assert body.pop("timings").keys() == {"queue_ms", "compute_ms"}
    answer = {"task": "detect", "stage": "low", "confident": True, "layers": 1}
    assert body == {**answer, "model": "boxes", "version": "1"}


async def test_high_is_asked_for_in_the_blocks_in_doubt(http: httpx.AsyncClient, boxes: Detector) -> None:
    asked = await http.post("/v1/images", params={**DOUBT, **SIZE}, content=join([boxes.low]))
    assert asked.status_code == 202, asked.text
    body = asked.json()
    assert set(body) == {"token", "layers", "layers_known", "blocks", "expires_s"}
    blocks = base64.b64decode(body["blocks"])
    mask = BlockMask.unpack(blocks, (8, 8))
    assert 0 < mask.share < 1
    assert not mask.blocks[6:].any()  # which are beside the picture
    (region,) = boxes.region(blocks)
    reply = await http.post(asked.headers["location"], params=DOUBT, content=join([region]))
    assert reply.status_code == 200, reply.text
    assert (reply.json()["stage"], reply.json()["layers"], reply.json()["confident"]) == ("high", 2, True)
    assert_found(reply.json()["detections"], boxes.found(points("doubt"), boxes.low, region), BOX)


async def test_fewer_blocks_than_wanted_are_no_full_answer(http: httpx.AsyncClient, boxes: Detector) -> None:
    few = BlockMask(np.eye(8) > 1)
    region = encode_region(boxes.encoded, boxes.profile, few).layers[1]
    reply = await http.post("/v1/images", params={**WHOLE, **SIZE}, content=join([boxes.low, region]))
    assert (reply.json()["stage"], reply.json()["confident"]) == ("high", False)


async def test_a_picture_is_answered_as_its_layers_are(
    http: httpx.AsyncClient, boxes: Detector, png: bytes
) -> None:
    whole = await http.post("/v1/detect", params=WHOLE, content=png)
    layers = await http.post("/v1/detect", params={**WHOLE, **SIZE}, content=join(boxes.encoded.layers))
    assert whole.status_code == layers.status_code == 200, whole.text
    for body in (whole.json(), layers.json()):
        assert (body["stage"], body["layers"], body["confident"]) == ("high", 2, True)
        assert_found(body["detections"], boxes.found(points("whole"), *boxes.encoded.layers), BOX)
    only_low = await http.post("/v1/detect", params={**WHOLE, **SIZE}, content=join([boxes.low]))
    assert (only_low.json()["stage"], only_low.json()["confident"]) == ("low", False)


async def test_a_picture_of_unknown_size_is_a_square(http: httpx.AsyncClient, boxes: Detector) -> None:
    reply = await http.post("/v1/images", params=LOW, content=join([boxes.low]))
    found = boxes.found(points("low"), boxes.low, where=SQUARE)
    assert_found(reply.json()["detections"], found, SQUARE)


async def test_masks_are_run_lengths_of_the_picture(http: httpx.AsyncClient, masks: Detector) -> None:
    params: dict[str, str | int] = {"model": "masks", "operating_point": "low", **SIZE}
    reply = await http.post("/v1/images", params=params, content=join([masks.low]))
    found = masks.found(points("low"), masks.low)
    bitmaps = found.bitmaps(64, 64)[:, :48].numpy()
    told = [each["mask"] for each in reply.json()["detections"]]
    assert len(told) == len(found)
    assert sum(map(np.sum, bitmaps)) > 0
    for mask, bitmap in zip(told, bitmaps, strict=True):
        assert mask["size"] == [48, 64]
        np.testing.assert_array_equal(coco.decode(mask), bitmap)


@pytest_asyncio.fixture(loop_scope="session")
async def device(channel: grpc.aio.Channel) -> AsyncIterator[Device]:
    options = pb.Options(model="boxes", operating_point="doubt", labels=True)
    async with session(channel, options=options) as opened:
        yield opened


def image(number: int, *layers: bytes) -> dict[str, Any]:
    return {"image": pb.Image(id=number, layers=layers, picture=pb.PictureSize(**SIZE))}


def as_json(detections: Any) -> list[dict[str, Any]]:
    return [
        {"label": ("red", "blue")[d.score.index], "probability": d.score.probability}
        | {"box": [d.left, d.top, d.right, d.bottom]}
        for d in detections
    ]


async def test_a_session_asks_for_blocks(device: Device, boxes: Detector) -> None:
    assert device.welcome.task == "detect"
    await device.say(**image(7, boxes.low))
    need = await device.hear()
    assert (need.id, need.layers, need.again) == (7, 2, False)
    assert not need.HasField("so_far")
    (region,) = boxes.region(need.blocks)
    assert len(need.blocks) < 40 < len(region) < len(boxes.encoded.layers[1])
    await device.further(7, region)
    answer = await device.hear()
    assert (answer.id, answer.stage, answer.layers, answer.confident) == (7, pb.STAGE_HIGH, 2, True)
    assert_found(as_json(answer.detections), boxes.found(points("doubt"), boxes.low, region), BOX)
    # Each class is named in the first answer that holds it.
    assert {d.score.label for d in answer.detections} <= {"red", "blue"}
    await device.say(**image(8, boxes.low, region))
    assert {d.score.label for d in (await device.hear()).detections} == {""}


async def test_all_further_layers_are_asked_for_at_once(channel: grpc.aio.Channel, masks: Detector) -> None:
    """And what low was sure of in the first layer stays, whatever it says once its values are finer."""
    options = pb.Options(model="masks", operating_point="doubt")
    async with session(channel, options=options) as device:
        await device.say(**image(1, masks.low))
        need = await device.hear()
        assert need.layers == 3
        regions = masks.region(need.blocks)
        for layer, payload in enumerate(regions, 2):
            await device.further(1, payload, layer)
        answer = await device.hear()
    assert (answer.stage, answer.layers, answer.confident) == (pb.STAGE_HIGH, 3, True)
    assert_found(as_json(answer.detections), masks.found(points("doubt"), masks.low, *regions), BOX)


async def test_a_region_answers_where_the_server_has_forgotten_the_rest(
    device: Device, boxes: Detector
) -> None:
    await device.say(**image(1, boxes.low))
    (region,) = boxes.region((await device.hear()).blocks)
    await device.further(3, region)
    lost = await device.hear()
    assert (lost.id, lost.layers, lost.again) == (3, 2, True)
    await device.say(**image(3, boxes.low, region))
    answer = await device.hear()
    assert (answer.id, answer.stage, answer.confident) == (3, pb.STAGE_HIGH, True)


async def test_an_overloaded_server_says_what_low_has_found(
    device: Device, boxes: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "overloaded", True)
    await device.say(**image(1, boxes.low))
    answer = await device.hear()
    assert (answer.stage, answer.layers, answer.confident) == (pb.STAGE_BROWNOUT, 1, False)
    assert_found(as_json(answer.detections), boxes.found(points("doubt"), boxes.low), BOX)


async def test_one_call(channel: grpc.aio.Channel, masks: Detector) -> None:
    options = pb.Options(model="masks", operating_point="whole")
    request = pb.ClassifyRequest(layers=masks.encoded.layers, options=options, picture=pb.PictureSize(**SIZE))
    answer = await stub_of(channel).Classify(request)
    assert_found(as_json(answer.detections), masks.found(points("whole"), *masks.encoded.layers), BOX)
    assert {(d.mask.width, d.mask.height) for d in answer.detections} == {(64, 48)}


async def test_the_wrong_task_is_refused_with_what_to_do(
    server: Running,
    http: httpx.AsyncClient,
    channel: grpc.aio.Channel,
    boxes: Detector,
    encoded: Encoded,
    png: bytes,
) -> None:
    def refused(reply: httpx.Response) -> str:
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")
        return str(reply.json()["error"]["message"])

    low = join(encoded.layers[:1])
    assert "/v1/detect" in refused(await http.post("/v1/classify", params=LOW, content=png))
    assert "/v1/classify" in refused(await http.post("/v1/detect", params={"model": "classes"}, content=png))
    sized: dict[str, str | int] = {"model": "classes", **SIZE}
    assert "without the size" in refused(await http.post("/v1/images", params=sized, content=low))
    assert "height" in refused(await http.post("/v1/images", params={"width": 5}, content=low))
    for path in ("/v2/models/boxes", "/v2/models/classes"):
        assert ((await http.get(path)).status_code == 200) is path.endswith("classes")
    open_inference = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [""]}]}
    reply = await http.post("/v2/models/boxes/infer", json=open_inference)
    assert (reply.status_code, "/v1/detect" in reply.json()["error"]) == (400, True)
    async with session(channel, options=pb.Options(model="classes")) as device:
        assert device.welcome.task == ""
        await device.say(**image(1, *encoded.layers))
        error = await device.hear()
        assert (error.id, error.code) == (1, grpc.StatusCode.INVALID_ARGUMENT.value[0])
        assert "classify" in error.message


async def test_a_detector_is_described(http: httpx.AsyncClient, boxes: Detector) -> None:
    card = (await http.get("/v1/model", params={"model": "boxes"})).json()
    assert (card["task"], card["view"]) == ("detect", "letter-box")
    assert [point["name"] for point in card["operating_points"]] == ["low", "doubt", "whole"]
    profile = await http.get("/v1/profile", params={"model": "boxes"})
    assert Profile.from_json(profile.text) == boxes.profile


async def test_what_is_counted_adds_up(server: Running, http: httpx.AsyncClient, boxes: Detector) -> None:
    metrics = server.service.metrics
    before = {
        name: table(metrics, f"overtone_{name}_total", "model") for name in ("model_answers", "model_bytes")
    }
    escalated = table(metrics, "overtone_model_escalations_total", "model", "layer")
    asked = await http.post("/v1/images", params={**DOUBT, **SIZE}, content=join([boxes.low]))
    (region,) = boxes.region(base64.b64decode(asked.json()["blocks"]))
    assert (await http.post(asked.headers["location"], content=join([region]))).status_code == 200
    after = {name: table(metrics, f"overtone_{name}_total", "model") - before[name] for name in before}
    sent = len(boxes.low) + len(region)
    assert after == {"model_answers": {("boxes",): 1}, "model_bytes": {("boxes",): sent}}
    assert table(metrics, "overtone_model_escalations_total", "model", "layer") - escalated == {
        ("boxes", "2"): 1
    }


async def test_answers_agree_on_things_of_one_class_that_overlap(boxes: Detector) -> None:
    task = DetectionTask(read_detector_card(boxes.path), "boxes")

    def answer(*things: tuple[int, tuple[float, float, float, float]]) -> Answer:
        found = tuple(Detection(Score(index, "", 0.5), box) for index, box in things)
        return Answer(Stage.LOW, (), True, 1, detections=found)

    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    both = answer((0, left), (1, right))
    assert task.agree(both, answer((1, (0.6, 0.0, 1.0, 1.0)), (0, left)))
    assert task.agree(answer(), answer())
    for other in (answer((0, left)), answer((0, left), (0, right)), answer((0, left), (1, left)), answer()):
        assert not task.agree(both, other)
        assert not task.agree(other, both)
