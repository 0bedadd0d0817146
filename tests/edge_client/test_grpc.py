"""The client against a gRPC server, image by image."""

import asyncio

import pytest

from overtone.edge_client import AsyncClient, DeadlineExceeded, ProtocolError, WrongProfile, encode_image
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.conftest import Talk
from tests.edge_client.fakes import CARD, FakeCascade, Stream, confident, escalating, serve_grpc
from tests.waiting import until


async def test_a_confident_server_gets_the_first_layer_only(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    async with talk(confident, top=2, operating_point="always") as (cascade, client):
        answer = await client.classify(photograph)
    assert (answer.label, answer.index, answer.confidence) == ("class 3", 3, 0.75)
    assert [(s.label, s.probability) for s in answer.top] == [("class 3", 0.75), ("class 1", 0.25)]
    assert (answer.stage, answer.confident, answer.model) == ("low", True, "tiny")
    assert (answer.timings.queue_ms, answer.timings.compute_ms) == (1.0, 2.0)
    assert answer.timings.total_ms >= answer.timings.encode_ms > 0
    assert [list(image.layers) for image in cascade.images] == [[encoded.layers[0]]]
    assert cascade.streams[0].chunks == {}
    assert (answer.layers, answer.bytes_sent) == (1, len(encoded.layers[0]))
    # No deadline: it would end images whose own time limit is longer than the client's.
    assert cascade.hellos[0].options == pb.Options(operating_point="always", top=2, labels=True)


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
async def test_a_doubtful_server_gets_more(
    talk: Talk, policy: str, photograph: Photograph, encoded: Encoded
) -> None:
    async with talk(escalating, policy=policy) as (cascade, client):
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [image.promised for image in cascade.images] == [2 if policy == "at_once" else 0]
    assert cascade.streams[0].of_layer() == [encoded.layers[1]]
    assert (answer.layers, answer.bytes_sent) == (2, encoded.size)


async def test_one_session_carries_many_images_and_ends_with_a_message(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address:
        async with AsyncClient(address) as client:
            for _ in range(5):
                await client.classify(photograph)
        assert len(cascade.hellos) == 1
        assert len({image.id for image in cascade.images}) == 5
        assert cascade.ends == 1
        assert cascade.described == 1


async def test_a_cancelled_image_leaves_its_credit_to_the_next(talk: Talk, photograph: Photograph) -> None:
    """The server frees the credit when it reads the cancel, so that has to come before the next image."""

    async def only_even(stream: Stream, image: pb.Image) -> None:
        if image.id % 2 == 0:
            await stream.answer(image.id)

    async with talk(only_even, credits=1) as (cascade, client):
        for number in range(1, 40, 2):
            given_up = asyncio.create_task(client.classify(photograph))
            await until(lambda number=number: len(cascade.images) == number)  # type: ignore[misc]
            given_up.cancel()
            assert (await client.classify(photograph)).label == "class 3"
    assert (len(cascade.cancels), cascade.refused) == (20, 0)


async def test_an_image_that_is_given_up_before_it_is_sent_needs_no_cancel(
    talk: Talk, photograph: Photograph, tiny_profile: Profile
) -> None:
    async with talk(confident) as (cascade, client):
        encoded = encode_image(photograph, tiny_profile)
        given_up = asyncio.create_task(client.classify(encoded))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        await client.classify(photograph)
    assert len(cascade.cancels) == len(cascade.images) - 1


async def test_a_silent_server_costs_only_the_time_allowed_and_the_session_goes_on(
    talk: Talk, photograph: Photograph, tiny_profile: Profile
) -> None:
    async def first_never(stream: Stream, image: pb.Image) -> None:
        if image.id > 1:
            await stream.answer(image.id)

    image = encode_image(photograph, tiny_profile)
    async with talk(first_never) as (cascade, client):
        with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
            await client.classify(image, timeout=0.2)
        await until(lambda: cascade.cancels)
        assert (await client.classify(photograph)).label == "class 3"
    assert cascade.cancels == [cascade.images[0].id]
    assert len(cascade.hellos) == 1


async def test_lost_state_is_sent_again_once(talk: Talk, photograph: Photograph, encoded: Encoded) -> None:
    async def forgetful(stream: Stream, image: pb.Image) -> None:
        if len(image.layers) == 1:
            await stream.need_more(image.id)
            await stream.layer(image.id)
            await stream.need_more(image.id, again=True)
        else:
            assert list(image.layers) == list(encoded.layers)
            await stream.answer(image.id, pb.STAGE_HIGH)

    async with talk(forgetful) as (_, client):
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert answer.bytes_sent == 2 * encoded.size


async def test_a_server_that_always_forgets_is_given_up(talk: Talk, photograph: Photograph) -> None:
    """The image is cancelled there, because the server still counts it against the credits."""

    async def forgetful(stream: Stream, image: pb.Image) -> None:
        if image.id == 1:
            await stream.need_more(image.id, again=True)
        else:
            await stream.answer(image.id)

    async with talk(forgetful, credits=1) as (cascade, client):
        with pytest.raises(ProtocolError, match="twice"):
            await client.classify(photograph)
        assert (await client.classify(photograph)).label == "class 3"
    assert cascade.cancels == [1]


async def test_what_is_not_needed_any_more_is_not_sent(talk: Talk, photograph: Photograph) -> None:
    """When an image has been answered, chunks that still wait are neither sent nor counted."""
    async with talk(confident, policy="at_once") as (cascade, client):
        answers = [await client.classify(photograph) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert sum(a.bytes_sent for a in answers) == sum(
            len(payload)
            for payload in (
                *(image.layers[0] for image in cascade.images),
                *cascade.streams[0].of_layer(),
            )
        )


async def test_a_changed_model_is_noticed_and_encoded_for(
    talk: Talk, photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    async def changing(stream: Stream, image: pb.Image) -> None:
        stream.server.profile = other_profile
        stream.die()

    async with talk(changing, escalating) as (cascade, client):
        answer = await client.classify(photograph)
        assert client.profile == other_profile
    assert answer.label == "other 3"
    assert [hello.profile_id for hello in cascade.hellos][1] == tiny_profile.id
    assert cascade.images[-1].layers[0] == encode(fit(open_rgb(photograph), 64), other_profile).layers[0]
    assert cascade.described == 2


async def test_a_changed_model_is_expected_to_answer_as_its_card_says(
    photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    def card(exit_share: float) -> dict[str, object]:
        return {
            **CARD,
            "operating_point": "default",
            "operating_points": [{"name": "default", "exit_share": exit_share}],
        }

    async def changing(stream: Stream, image: pb.Image) -> None:
        stream.server.profile, stream.server.card = other_profile, card(0.1)
        stream.die()

    cascade = FakeCascade(tiny_profile, changing, escalating)
    cascade.card = card(0.9)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert client.plan_selector.shares(2) == pytest.approx((1.0, 0.1))
        await client.classify(photograph)
        assert client.plan_selector.shares(2) == pytest.approx(
            (1.0, 0.9), abs=0.01
        )  # and the image hardly changed that


async def test_a_changed_model_is_fetched_once_for_all_images_in_flight(
    talk: Talk, photograph: Photograph, other_profile: Profile
) -> None:
    async def changed(stream: Stream, image: pb.Image) -> None:
        wanted = encode(fit(open_rgb(photograph), 64), other_profile).layers[0]
        if image.layers[0] == wanted:
            await stream.answer(image.id)
        else:
            stream.server.profile = other_profile
            await stream.fail(image.id, code=9, message="another profile")

    async with talk(changed) as (cascade, client):
        answers = await asyncio.gather(*(client.classify(photograph) for _ in range(4)))
    assert {answer.label for answer in answers} == {"other 3"}
    assert cascade.described == 2


async def test_a_server_that_refuses_every_profile(talk: Talk, photograph: Photograph) -> None:
    async def never(stream: Stream, image: pb.Image) -> None:
        await stream.fail(image.id, code=9, message="another profile")

    async with talk(never) as (cascade, client):
        with pytest.raises(WrongProfile):
            await client.classify(photograph)
    assert len(cascade.images) == 2


async def test_the_token_travels_once_a_stream(talk: Talk, photograph: Photograph) -> None:
    async with talk(confident, token="secret") as (cascade, client):
        await client.classify(photograph)
    assert [m["authorization"] for m in cascade.metadata] == ["Bearer secret"]
