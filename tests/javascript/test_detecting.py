"""Pictures for detectors, from the client in JavaScript: to a real server, and to one that misbehaves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from overtone import AsyncClient, Detected
from overtone.frequency import (
    BlockMask,
    Encoded,
    Profile,
    encode,
    encode_further,
    encode_region,
    join,
    letter_boxed,
    open_rgb,
    part_of,
)
from overtone.gpu_server.serve import Running, running
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.javascript.conftest import Device, pixels
from tests.serving import Serve, quick_settings

POINTS = ("always", "never", "default")
PATIENCE = 60_000  # milliseconds: nothing here waits for longer than it has to
RED = {"label": "red", "index": 0, "probability": 0.9, "box": [0.1, 0.2, 0.5, 1.0]}


@pytest.fixture(scope="module")
def server(tiny_detector: Path) -> Iterator[Running]:
    with fakes.in_thread(running(quick_settings(tiny_detector, batch_sizes=(1,)))) as found:
        yield found


@pytest.fixture
def sent(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    """As a device codes it, which makes the further layers when they are asked for."""
    square = letter_boxed(open_rgb(photograph), tiny_profile.size)
    return encode_further(encode(square, part_of(tiny_profile, layers=1)), tiny_profile)


@pytest.fixture
def mask(tiny_profile: Profile) -> BlockMask:
    return BlockMask.covering([(0.2, 0.1, 0.6, 0.5)], (tiny_profile.blocks, tiny_profile.blocks))


async def detected(
    device: Device, app: fakes.FakeRest, *images: Photograph, detect: bool = True
) -> list[Any]:
    """What the device makes of the pictures with this server."""
    async with fakes.serve_rest(app) as address:
        given = {"clients": [{"timeout": PATIENCE}], "images": [pixels(image) for image in images]}
        return await device(address=address, detect=detect, **given)


async def of_python(address: str, image: Photograph, point: str) -> Detected:
    """What the Python client gets."""
    async with AsyncClient(address, policy="on_demand", operating_point=point) as client:
        return await client.detect(image)


async def test_it_finds_what_the_python_client_finds(
    server: Running, photograph: Photograph, device: Device
) -> None:
    address = f"http://127.0.0.1:{server.http_port}"
    expected = [await of_python(address, photograph, point) for point in POINTS]
    options = [{"operatingPoint": point} for point in POINTS]
    answers = await device(address=address, detect=True, clients=options, images=[pixels(photograph)])
    for answer, wanted in zip(answers, expected, strict=True):
        assert (answer["stage"], answer["layers"], answer["bytesSent"]) == (
            wanted.stage,
            wanted.layers,
            wanted.bytes_sent,
        )
        assert [found["label"] for found in answer["detections"]] == [
            each.label for each in wanted.detections
        ]
        for found, each in zip(answer["detections"], wanted.detections, strict=True):
            assert found["box"] == pytest.approx([*each.box], abs=1e-5)


async def test_layers_are_sent_of_the_blocks_that_are_asked_for(
    photograph: Photograph, sent: Encoded, mask: BlockMask, tiny_profile: Profile, device: Device
) -> None:
    """In some blocks, everywhere, and in blocks that cannot be read."""
    answer = fakes.rest_detected(RED, stage="high")
    asked = [fakes.rest_token(blocks=blocks) for blocks in (mask.pack(), b"", b"\xff" * 8)]
    app = fakes.FakeRest(tiny_profile, asked[0], answer, asked[1], answer, asked[2])
    *answers, error = await detected(device, app, photograph, photograph, photograph)
    region = encode_region(sent, tiny_profile, mask)
    first, whole = join(sent.layers[:1]), join(sent.layers[1:])
    assert [post.body for post in app.posts] == [first, join(region.layers[1:]), first, whole, first]
    height, width, _ = photograph.shape
    assert [post.query for post in app.posts[:2]] == [
        {"top": "1", "width": str(width), "height": str(height)},
        {"top": "1"},
    ]
    assert [(found["detections"], found["bytesSent"]) for found in answers] == [
        ([RED], region.size),
        ([RED], sent.size),
    ]
    assert error["code"] == "INTERNAL"
    assert "blocks" in error["message"]


async def test_blocks_that_were_lost_are_sent_again(
    photograph: Photograph, sent: Encoded, mask: BlockMask, tiny_profile: Profile, device: Device
) -> None:
    lost = fakes.rest_error(410, "ABORTED")
    app = fakes.FakeRest(tiny_profile, fakes.rest_token(blocks=mask.pack()), lost, fakes.rest_detected())
    (answer,) = await detected(device, app, photograph)
    region = encode_region(sent, tiny_profile, mask)
    assert app.posts[2].body == join(region.layers)
    assert app.posts[2].query["width"] == str(photograph.shape[1])
    assert answer["bytesSent"] == region.size + region.size


async def test_a_model_for_another_task_is_an_error_before_more_is_sent(
    photograph: Photograph, tiny_profile: Profile, mask: BlockMask, device: Device
) -> None:
    classifier = fakes.FakeRest(tiny_profile, fakes.rest_token())
    detector = fakes.FakeRest(tiny_profile, fakes.rest_token(blocks=mask.pack()), fakes.rest_detected())
    for app, detect, word in ((classifier, True, "the task classify"), (detector, False, "the task detect")):
        (error,) = await detected(device, app, photograph, detect=detect)
        assert (error["code"], len(app.posts)) == ("INVALID_ARGUMENT", 1)
        assert word in error["message"]


async def test_masks_of_cocos_api_are_read(device: Device) -> None:
    rng = np.random.default_rng(3)
    bitmaps = [rng.random((5, 9)) < share for share in (0, 0.1, 0.5, 1)] + [rng.random((300, 200)) < 0.01]
    packed = [coco.encode(np.asfortranarray(bitmap.astype(np.uint8))) for bitmap in bitmaps]
    masks = [{"size": each["size"], "counts": each["counts"].decode()} for each in packed]
    damaged = [
        {"size": [2, 2], "counts": counts} for counts in ("", "1", "5", "Q", "0\xff", "PPPPPPPPPP1", "O5")
    ]
    found = await device(masks=[*masks, *damaged])
    assert found[: len(masks)] == [bitmap.astype(int).ravel().tolist() for bitmap in bitmaps]
    assert all("run-lengths" in message for message in found[len(masks) :])


async def test_a_real_classifier_refuses_a_picture(
    serve: Serve, photograph: Photograph, device: Device
) -> None:
    async with serve() as classifier:
        address = f"http://127.0.0.1:{classifier.http_port}"
        (error,) = await device(address=address, detect=True, clients=[{}], images=[pixels(photograph)])
    assert (error["code"], error["status"]) == ("INVALID_ARGUMENT", 400)
    assert "classify" in error["message"]
