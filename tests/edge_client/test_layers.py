"""A ladder of three layers, over real sockets: what is asked for is sent, in order, and nothing else."""

import grpc
import pytest

from overtone.edge_client import AsyncClient, WrongVersion
from overtone.edge_client.plan import together
from overtone.frequency import THREE_LAYERS, Encoded, Profile, encode, fit, join, open_rgb, split
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.edge_client.conftest import Post, Talk
from tests.ladders import with_ladder
from tests.waiting import until


@pytest.fixture
def tiny_profile(tiny_profile: Profile) -> Profile:
    return with_ladder(tiny_profile, THREE_LAYERS)


@pytest.fixture
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


def needing(layers: int) -> fakes.Behaviour:
    """A server that asks for one layer after the other, unless they are promised."""

    async def ask(stream: fakes.Stream, image: pb.Image) -> None:
        for layer in range(len(image.layers) + 1, layers + 1):
            if layer > image.promised:
                await stream.need_more(image.id, layer)
            await stream.layer(image.id, layer)
        await stream.answer(image.id, pb.STAGE_HIGH if layers == 3 else pb.STAGE_LOW, layers=layers)

    return ask


@pytest.mark.parametrize("needs", [1, 2, 3])
async def test_on_demand_layers_are_sent_as_they_are_asked_for(
    talk: Talk, needs: int, photograph: Photograph, encoded: Encoded
) -> None:
    async with talk(needing(needs), policy="on_demand") as (cascade, client):
        answer = await client.classify(photograph)
        assert client.plan_selector.shares(3)[1] == pytest.approx(0.3, abs=0.2)
    assert [list(image.layers) for image in cascade.images] == [[encoded.layers[0]]]
    assert list(cascade.streams[0].chunks.values()) == list(encoded.layers[1:needs])
    assert (answer.layers, answer.bytes_sent) == (needs, sum(map(len, encoded.layers[:needs])))


@pytest.mark.parametrize("policy", ["ahead", "at_once"])
async def test_unasked_all_layers_come_in_order(
    talk: Talk, policy: str, photograph: Photograph, encoded: Encoded
) -> None:
    async with talk(needing(3) if policy == "at_once" else waiting, policy=policy) as (cascade, client):
        answer = await client.classify(photograph)
    assert [image.promised for image in cascade.images] == [3 if policy == "at_once" else 0]
    assert list(cascade.streams[0].chunks.items()) == [
        ((1, 2), encoded.layers[1]),
        ((1, 3), encoded.layers[2]),
    ]
    assert (answer.layers, answer.bytes_sent, answer.plan.unasked) == (3, encoded.size, 3)


async def waiting(stream: fakes.Stream, image: pb.Image) -> None:
    """Answers from whatever comes unasked."""
    await stream.layer(image.id, 3)
    await stream.answer(image.id, pb.STAGE_HIGH, layers=3)


async def test_all_that_is_missing_can_be_asked_for_at_once(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    async def hasty(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, 3)
        assert [await stream.layer(image.id, layer) for layer in (2, 3)] == list(encoded.layers[1:])
        await stream.answer(image.id, pb.STAGE_HIGH, layers=3)

    async with talk(hasty, policy="on_demand") as (_, client):
        assert (await client.classify(photograph)).bytes_sent == encoded.size


async def test_layers_that_were_asked_for_twice_are_sent_once(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    async def repeating(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, 2)
        await stream.need_more(image.id, 2)
        await stream.layer(image.id, 2)
        await stream.answer(image.id, layers=2)

    async with talk(repeating, policy="on_demand") as (_, client):
        assert (await client.classify(photograph)).bytes_sent == sum(map(len, encoded.layers[:2]))


async def test_an_image_that_was_lost_is_sent_again_up_to_what_is_asked_for(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    async def forgetful(stream: fakes.Stream, image: pb.Image) -> None:
        if len(image.layers) == 1:
            await stream.need_more(image.id, 2, again=True)
        else:
            await stream.need_more(image.id, 3)
            await stream.layer(image.id, 3)
            await stream.answer(image.id, pb.STAGE_HIGH, layers=3)

    async with talk(forgetful, policy="on_demand") as (cascade, client):
        answer = await client.classify(photograph)
    assert [list(image.layers) for image in cascade.images] == [[encoded.layers[0]], list(encoded.layers[:2])]
    assert answer.bytes_sent == len(encoded.layers[0]) + encoded.size


async def test_the_answer_may_come_at_any_moment(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    """Here a server asks for more, becomes too busy, and answers from what it has."""

    async def brown_out(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, 2)
        await stream.answer(image.id, pb.STAGE_BROWNOUT, layers=1)

    async with talk(brown_out, policy="on_demand") as (cascade, client):
        answers = [await client.classify(photograph) for _ in range(3)]
        await until(lambda: len(cascade.images) == 3)
    assert {(answer.stage, answer.layers) for answer in answers} == {("brownout", 1)}
    assert all(answer.bytes_sent <= sum(map(len, encoded.layers[:2])) for answer in answers)


@pytest.mark.parametrize("needs", [1, 2, 3])
async def test_over_rest_layers_are_sent_as_they_are_asked_for(
    post: Post, needs: int, photograph: Photograph, encoded: Encoded
) -> None:
    asking = [fakes.rest_token(layers=layer, known=layer - 1) for layer in range(2, needs + 1)]
    async with post(*asking, fakes.rest_answer("low", layers=needs), policy="on_demand") as (app, client):
        answer = await client.classify(photograph)
    assert [split(p.body) for p in app.posts] == [(payload,) for payload in encoded.layers[:needs]]
    assert [p.path for p in app.posts[1:]] == ["/v1/images/t0-k_n/layers"] * (needs - 1)
    assert (answer.layers, answer.bytes_sent) == (needs, sum(map(len, encoded.layers[:needs])))


async def test_over_rest_a_lost_image_is_sent_again_up_to_what_was_asked_for(
    post: Post, photograph: Photograph, encoded: Encoded
) -> None:
    lost = fakes.rest_error(410, "ABORTED")
    async with post(fakes.rest_token(), lost, fakes.rest_answer("low", layers=2)) as (app, client):
        answer = await client.classify(photograph)
    assert app.posts[-1].body == join(encoded.layers[:2])
    assert answer.layers == 2


async def test_over_rest_a_lost_image_that_needs_more_yet_is_sent_whole(
    post: Post, photograph: Photograph, encoded: Encoded
) -> None:
    acts = (fakes.rest_token(), fakes.rest_error(410, "ABORTED"), fakes.rest_token(layers=3, known=2))
    async with post(*acts, fakes.rest_answer("high", layers=3)) as (app, client):
        assert (await client.classify(photograph)).layers == 3
    assert [p.path for p in app.posts[-2:]] == ["/v1/images", "/v1/classify"]
    assert app.posts[-1].body == join(encoded.layers)


async def test_over_rest_layers_that_go_together_are_one_request(
    post: Post, photograph: Photograph, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with post(fakes.rest_answer("low", layers=2)) as (app, client):
        monkeypatch.setattr(client.plan_selector, "plan", lambda sizes, **_: together(2))
        answer = await client.classify(photograph)
    assert split(app.posts[0].body) == encoded.layers[:2]
    assert (answer.layers, answer.plan) == (2, together(2))


async def test_a_server_of_another_version_is_told_in_one_sentence() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(WrongVersion, match="install the same version") as caught:
        async with AsyncClient(f"grpc://127.0.0.1:{port}", timeout=5.0):
            pass
    await server.stop(0)
    assert str(caught.value).count(". ") == 0
