"""Asking a detector what is where, over both transports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from overtone.edge_client import (
    AsyncClient,
    Box,
    Client,
    DeadlineExceeded,
    Detected,
    Detection,
    Mask,
    ProtocolError,
    UsageError,
    WrongTask,
    encode_image,
)
from overtone.frequency import BlockMask, Profile, decode, encode, letter_boxed, open_rgb, part_of, split
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.fakes import (
    Behaviour,
    Die,
    FakeCascade,
    FakeRest,
    Request,
    Response,
    Stream,
    confident,
    dying,
    in_thread,
    rest_answer,
    rest_detected,
    rest_error,
    rest_token,
    serve_grpc,
    serve_rest,
)

BOX = (0.25, 0.5, 0.75, 1.0)
DOG = pb.Detection(
    score=pb.Score(index=3, probability=0.75), left=BOX[0], top=BOX[1], right=BOX[2], bottom=BOX[3]
)
REST_DOG = {"label": "class 3", "index": 3, "probability": 0.75, "box": list(BOX)}
FOUND = (Detection("class 3", 3, 0.75, Box(*BOX)),)
# The photograph has 128 x 96 pixels, so that it lies in the upper three quarters of the square.
SIZE = (128, 96)
QUARTER = BlockMask.covering([[0.0, 0.0, 0.5, 0.5]], (8, 8))
EIGHTH = BlockMask.covering([[0.0, 0.0, 0.5, 0.25]], (8, 8))
SCHEMES = ["grpc", "http"]


async def sure(stream: Stream, image: pb.Image) -> None:
    await stream.detect(image.id, DOG)


def doubtful(*masks: BlockMask) -> Behaviour:
    """Asks for further layers in a mask, for the n-th image in the n-th one."""
    left = iter(masks)

    async def behave(stream: Stream, image: pb.Image) -> None:
        if len(image.layers) < 2:
            await stream.need_more(image.id, blocks=next(left).pack())
            await stream.layer(image.id)
        await stream.detect(image.id, DOG, stage=pb.STAGE_HIGH)

    return behave


def first_layer(picture: Photograph, profile: Profile) -> bytes:
    """Its payload, from a device that has not encoded any other."""
    return encode(letter_boxed(open_rgb(picture), 64), part_of(profile, layers=1)).layers[0]


@asynccontextmanager
async def detector(
    profile: Profile, *behaviours: Behaviour, **options: Any
) -> AsyncIterator[tuple[FakeCascade, AsyncClient]]:
    cascade = FakeCascade(profile, *behaviours)
    cascade.task = "detect"
    async with serve_grpc(cascade) as address, AsyncClient(address, **options) as client:
        yield cascade, client


@asynccontextmanager
async def rest_detector(
    profile: Profile, *acts: Any, **options: Any
) -> AsyncIterator[tuple[FakeRest, AsyncClient]]:
    app = FakeRest(profile, *acts)
    async with serve_rest(app) as address, AsyncClient(address, **options) as client:
        yield app, client


def test_the_whole_picture_is_encoded(photograph: Photograph, tiny_profile: Profile) -> None:
    image = encode_image(photograph, tiny_profile, task="detect")
    assert (image.picture, image.task) == (SIZE, "detect")
    assert image.encoded == encode(letter_boxed(open_rgb(photograph), 64), tiny_profile)
    assert encode_image(photograph, tiny_profile).picture is None


async def test_a_picture_is_answered_over_grpc(photograph: Photograph, tiny_profile: Profile) -> None:
    async with detector(tiny_profile, sure) as (cascade, client):
        answer = await client.detect(photograph)
    assert (answer.detections, answer.stage, answer.layers, answer.model) == (FOUND, "low", 1, "tiny")
    assert answer.confident
    (image,) = cascade.images
    assert (image.picture.width, image.picture.height) == SIZE
    assert answer.bytes_sent == len(image.layers[0])
    assert answer.timings.compute_ms == 2.0


async def test_a_picture_is_answered_over_rest(photograph: Photograph, tiny_profile: Profile) -> None:
    async with rest_detector(tiny_profile, rest_detected(REST_DOG), model="tiny") as (app, client):
        answer = await client.detect(photograph)
    assert (answer.detections, answer.stage, answer.layers, answer.model) == (FOUND, "low", 1, "tiny")
    (post,) = app.posts
    assert post.path == "/v1/images"
    assert (post.query["width"], post.query["height"]) == ("128", "96")
    assert answer.bytes_sent == len(split(post.body)[0])


async def test_a_picture_without_things_is_an_answer_too(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def empty(stream: Stream, image: pb.Image) -> None:
        await stream.detect(image.id)

    async with detector(tiny_profile, empty) as (_, client):
        assert (await client.detect(photograph)).detections == ()
    async with rest_detector(tiny_profile, rest_detected()) as (_, client):
        assert (await client.detect(photograph)).detections == ()


async def test_masks(photograph: Photograph, tiny_profile: Profile) -> None:
    masked = pb.Detection()
    masked.CopyFrom(DOG)
    masked.mask.CopyFrom(pb.Mask(width=2, height=2, counts=b"22"))

    async def behave(stream: Stream, image: pb.Image) -> None:
        await stream.detect(image.id, masked)

    rest = {**REST_DOG, "mask": {"size": [2, 2], "counts": "22"}}
    for serve in (detector(tiny_profile, behave), rest_detector(tiny_profile, rest_detected(rest))):
        async with serve as (_, client):
            (found,) = (await client.detect(photograph)).detections
        assert found.mask == Mask(2, 2, b"22")
        assert found.mask.pixels().tolist() == [[False, True]] * 2
        assert found.to_json() == rest


async def test_a_server_without_parts_names_classes_where_the_profile_has_no_labels(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def naming(stream: Stream, image: pb.Image) -> None:
        named = pb.Detection()
        named.CopyFrom(DOG)
        named.score.label = "dog" if image.id == 1 else ""
        await stream.detect(image.id, named)

    cascade = FakeCascade(tiny_profile, naming)
    cascade.task, cascade.parts = "detect", True
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        answers = [await client.detect(photograph) for _ in range(2)]
    assert [answer.detections[0].label for answer in answers] == ["dog", "dog"]


@pytest.mark.parametrize("policy", ["auto", "on_demand"])
async def test_layers_are_sent_of_the_blocks_that_are_asked_for(
    policy: Any, photograph: Photograph, tiny_profile: Profile
) -> None:
    """Also with `auto`, once the link is known."""
    async with detector(tiny_profile, doubtful(QUARTER, EIGHTH), policy=policy) as (cascade, client):
        answers = [await client.detect(photograph) for _ in range(2)]
    whole = encode(letter_boxed(open_rgb(photograph), 64), tiny_profile)
    assert {image.layers[0] for image in cascade.images} == {first_layer(photograph, tiny_profile)}
    for number, mask, answer in zip((1, 2), (QUARTER, EIGHTH), answers, strict=True):
        (low,) = cascade.images[number - 1].layers
        high = cascade.streams[0].chunks[number, 2]
        assert decode([low, high], tiny_profile).mask == mask
        assert answer.bytes_sent == len(low) + len(high) < whole.size
        assert (answer.stage, answer.layers, answer.detections) == ("high", 2, FOUND)


async def test_blocks_are_asked_for_over_rest(photograph: Photograph, tiny_profile: Profile) -> None:
    acts = rest_token(blocks=QUARTER.pack()), rest_detected(REST_DOG, stage="high")
    async with rest_detector(tiny_profile, *acts, policy="on_demand") as (app, client):
        answer = await client.detect(photograph)
    first, second = app.posts
    assert second.path == "/v1/images/t0-k_n/layers"
    payloads = *split(first.body), *split(second.body)
    assert decode(payloads, tiny_profile).mask == QUARTER
    assert answer.bytes_sent == sum(map(len, payloads))
    assert answer.detections == FOUND


async def test_without_a_mask_all_blocks_are_sent(photograph: Photograph, tiny_profile: Profile) -> None:
    async def all_blocks(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id)
        await stream.layer(image.id)
        await stream.detect(image.id, DOG, stage=pb.STAGE_HIGH)

    async with detector(tiny_profile, all_blocks) as (cascade, client):
        await client.detect(photograph)
    sent = [*cascade.images[0].layers, cascade.streams[0].chunks[1, 2]]
    whole = encode(letter_boxed(open_rgb(photograph), 64), tiny_profile)
    assert sent == [first_layer(photograph, tiny_profile), whole.layers[1]]


@pytest.mark.parametrize("policy", ["ahead", "at_once"])
async def test_what_flows_unasked_is_of_the_whole_picture(
    policy: Any, photograph: Photograph, tiny_profile: Profile
) -> None:
    async def late(stream: Stream, image: pb.Image) -> None:
        await stream.layer(image.id)
        await stream.need_more(image.id, blocks=QUARTER.pack())
        await stream.detect(image.id, DOG, stage=pb.STAGE_HIGH)

    async with detector(tiny_profile, late, policy=policy) as (cascade, client):
        answer = await client.detect(photograph)
    whole = encode(letter_boxed(open_rgb(photograph), 64), tiny_profile)
    assert cascade.streams[0].chunks[1, 2] == whole.layers[1]
    assert answer.bytes_sent == whole.size


async def test_a_lost_picture_is_sent_again_with_its_blocks(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def losing(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, blocks=QUARTER.pack())
        await stream.layer(image.id)
        await stream.need_more(image.id, again=True)

    async def once_more(stream: Stream, image: pb.Image) -> None:
        await (losing if len(image.layers) < 2 else sure)(stream, image)

    async with detector(tiny_profile, once_more) as (cascade, client):
        await client.detect(photograph)
    assert decode(list(cascade.images[1].layers), tiny_profile).mask == QUARTER
    assert cascade.images[1].picture.width == SIZE[0]


async def test_a_broken_session_is_followed_by_another(photograph: Photograph, tiny_profile: Profile) -> None:
    """Only what was asked for is sent once more, not all of the further layers."""

    async def breaking(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, blocks=QUARTER.pack())
        await stream.layer(image.id)
        stream.die()

    async def answering(stream: Stream, image: pb.Image) -> None:
        await stream.layer(image.id)
        await stream.detect(image.id, DOG, stage=pb.STAGE_HIGH)

    async with detector(tiny_profile, breaking, answering) as (cascade, client):
        await client.fetch_tables()
        answer = await client.detect(photograph)
    once, again = cascade.images
    assert (again.layers, again.promised) == (once.layers, 2)
    assert decode([*again.layers, cascade.streams[1].chunks[1, 2]], tiny_profile).mask == QUARTER
    assert answer.detections == FOUND


async def test_a_session_that_broke_before_anything_was_asked_for_costs_no_further_layers(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async with detector(tiny_profile, dying, sure) as (cascade, client):
        await client.fetch_tables()
        answer = await client.detect(photograph)
    assert [len(image.layers) for image in cascade.images] == [1, 1]
    assert answer.bytes_sent == 2 * len(cascade.images[0].layers[0])


@pytest.mark.parametrize("after", ["lost", "broken"])
async def test_over_rest_it_is_sent_again_too(
    after: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    def gone(request: Request) -> Response:
        if after == "broken":
            raise Die
        return rest_error(410, "FAILED_PRECONDITION")

    acts = rest_token(blocks=QUARTER.pack()), gone, rest_detected(REST_DOG, stage="high")
    async with rest_detector(tiny_profile, *acts, policy="on_demand") as (app, client):
        answer = await client.detect(photograph)
    last = app.posts[-1]
    assert (last.path, last.query["width"], last.query["height"]) == ("/v1/detect", "128", "96")
    assert decode(split(last.body), tiny_profile).mask == QUARTER
    assert answer.detections == FOUND


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_stream_of_pictures(scheme: str, photograph: Photograph, tiny_profile: Profile) -> None:
    serve = (
        detector(tiny_profile, sure)
        if scheme == "grpc"
        else rest_detector(tiny_profile, rest_detected(REST_DOG))
    )
    async with serve as (_, client):
        images = [photograph, np.zeros((0, 0, 3), np.uint8), photograph]
        results = [result async for result in client.stream(images, task="detect")]
    answers: list[Detected | None] = [result.answer for result in results]
    assert [answer and answer.detections for answer in answers] == [FOUND, None, FOUND]


def test_the_synchronous_client(photograph: Photograph, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, sure)
    cascade.task = "detect"
    with in_thread(serve_grpc(cascade)) as address, Client(address) as client:
        assert client.detect(photograph).detections == FOUND
        (result,) = client.stream([photograph], task="detect")
        assert result.get().detections == FOUND


async def test_the_time_limit_holds(photograph: Photograph, tiny_profile: Profile) -> None:
    async def silent(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, blocks=QUARTER.pack())

    async with detector(tiny_profile, silent) as (cascade, client):
        with pytest.raises(DeadlineExceeded):
            await client.detect(photograph, timeout=0.2)
        async with asyncio.timeout(5):
            while not cascade.cancels:
                await asyncio.sleep(0.01)


async def test_another_task_is_refused_before_anything_is_sent(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async with detector(tiny_profile, sure) as (cascade, client):
        with pytest.raises(WrongTask, match="'tiny' is there to detect, not to classify"):
            await client.classify(photograph)
        assert not cascade.images
        cascade.task = ""
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address, AsyncClient(address) as client:
        with pytest.raises(
            WrongTask, match="there to classify, not to detect; ask a detector with `detect` "
        ):
            await client.detect(photograph)


async def test_over_rest_the_answer_tells_the_task(photograph: Photograph, tiny_profile: Profile) -> None:
    async with rest_detector(tiny_profile, rest_detected(REST_DOG)) as (_, client):
        with pytest.raises(WrongTask, match="there to detect"):
            await client.classify(photograph)
    told = rest_error(400, "INVALID_ARGUMENT")
    told.body["error"]["message"] = "tiny has the task classify: leave width and height out"
    for act in (rest_answer(), told):
        async with rest_detector(tiny_profile, act) as (_, client):
            with pytest.raises(WrongTask, match="classify"):
                await client.detect(photograph)


async def test_a_task_of_a_later_version_is_said_to_be_one(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, sure)
    cascade.task = "dream"
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(ProtocolError, match="'dream'"):
            await client.detect(photograph)


async def test_an_image_that_was_encoded_for_another_task_is_refused(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async with detector(tiny_profile, sure) as (_, client):
        with pytest.raises(UsageError, match="encoded to classify, not to detect"):
            await client.detect(encode_image(photograph, tiny_profile))
        found = await client.detect(encode_image(photograph, tiny_profile, task="detect"))
        assert found.detections == FOUND


@pytest.mark.parametrize(
    "box", [(0.5, 0.0, 0.25, 1.0), (-0.5, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 1.5), (0.0, float("nan"), 1.0, 1.0)]
)
async def test_boxes_that_are_none(box: Any, photograph: Photograph, tiny_profile: Profile) -> None:
    left, top, right, bottom = box

    async def behave(stream: Stream, image: pb.Image) -> None:
        wrong = pb.Detection(score=DOG.score, left=left, top=top, right=right, bottom=bottom)
        await stream.detect(image.id, wrong)

    rest = rest_detected({**REST_DOG, "box": box})
    for serve in (detector(tiny_profile, behave), rest_detector(tiny_profile, rest)):
        async with serve as (_, client):
            with pytest.raises(ProtocolError, match="a box that is none"):
                await client.detect(photograph)


@pytest.mark.parametrize(
    "wrong",
    [
        {**REST_DOG, "box": [0.0, 1.0]},
        {**REST_DOG, "index": 10},
        {"label": "dog"},
        {**REST_DOG, "mask": {"size": [1]}},
        7,
    ],
)
async def test_other_detections_that_are_none(
    wrong: Any, photograph: Photograph, tiny_profile: Profile
) -> None:
    async with rest_detector(tiny_profile, rest_detected(wrong)) as (_, client):
        with pytest.raises(ProtocolError):
            await client.detect(photograph)


async def test_blocks_that_are_none(photograph: Photograph, tiny_profile: Profile) -> None:
    async def behave(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, blocks=b"\xff\xff")

    unreadable = rest_token()
    unreadable.body["blocks"] = "?"
    for serve in (
        detector(tiny_profile, behave),
        rest_detector(tiny_profile, rest_token(blocks=b"\xff\xff")),
        rest_detector(tiny_profile, unreadable),
    ):
        async with serve as (_, client):
            with pytest.raises(ProtocolError, match="blocks that cannot be"):
                await client.detect(photograph)
