"""The client against an HTTP server that misbehaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from overtone.edge_client import AsyncClient, errors
from overtone.frequency import Encoded, Profile, encode, fit, join, open_rgb, split
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.edge_client.conftest import Post
from tests.waiting import until


def die(request: fakes.Request) -> fakes.Response:
    raise fakes.Die


async def test_a_confident_server_gets_the_first_layer_only(
    post: Post, photograph: Photograph, encoded: Encoded
) -> None:
    async with post(fakes.rest_answer(), token="secret", top=2, operating_point="always") as (app, client):
        answer = await client.classify(photograph)
    assert (answer.label, answer.confidence, answer.stage, answer.model) == ("class 3", 0.75, "low", "tiny")
    (sent,) = app.posts
    assert (sent.path, sent.body) == ("/v1/images", join(encoded.layers[:1]))
    assert sent.query == {"top": "2", "operating_point": "always"}
    assert sent.headers.keys() - {""} == {"host", "authorization", "content-type", "content-length"}
    assert {request.headers["authorization"] for request in [sent, *app.gets]} == {"Bearer secret"}
    assert answer.bytes_sent == len(encoded.layers[0])


async def test_a_doubtful_server_gets_more(post: Post, photograph: Photograph, encoded: Encoded) -> None:
    async with post(fakes.rest_token(), fakes.rest_answer("high")) as (app, client):
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [(p.path, p.body) for p in app.posts] == [
        ("/v1/images", join(encoded.layers[:1])),
        ("/v1/images/t0-k_n/layers", join(encoded.layers[1:])),
    ]
    assert {p.headers["content-type"] for p in app.posts} == {"application/vnd.overtone"}
    assert (answer.layers, answer.bytes_sent) == (2, encoded.size)


async def test_at_once_is_one_request(post: Post, photograph: Photograph, encoded: Encoded) -> None:
    async with post(fakes.rest_answer("high"), policy="at_once") as (app, client):
        answer = await client.classify(photograph)
    (sent,) = app.posts
    assert (sent.path, sent.body) == ("/v1/classify", join(encoded.layers))
    assert answer.bytes_sent == encoded.size


async def test_ahead_is_on_demand_as_a_request_cannot_be_stopped(
    post: Post, photograph: Photograph, encoded: Encoded
) -> None:
    async with post(fakes.rest_answer("low"), policy="ahead") as (app, client):
        answer = await client.classify(photograph)
    assert [(p.path, p.body) for p in app.posts] == [("/v1/images", join(encoded.layers[:1]))]
    assert answer.plan.name == "on_demand"


async def test_what_requests_tell_of_the_link(post: Post, photograph: Photograph) -> None:
    async with post(*[fakes.rest_token(), fakes.rest_answer("high")] * 2) as (_, client):
        assert client.plan_selector.rate is None
        for _ in range(2):
            await client.classify(photograph)
        assert client.plan_selector.rate is not None
        assert client.plan_selector.shares(2)[1] > 0.3


async def test_an_expired_token_means_all_again(post: Post, photograph: Photograph, encoded: Encoded) -> None:
    async with post(fakes.rest_token(), fakes.rest_error(410, "ABORTED"), fakes.rest_answer("high")) as (
        app,
        client,
    ):
        answer = await client.classify(photograph)
    assert [p.path for p in app.posts] == ["/v1/images", "/v1/images/t0-k_n/layers", "/v1/classify"]
    assert app.posts[-1].body == join(encoded.layers)
    assert answer.bytes_sent == 2 * encoded.size


@pytest.mark.parametrize("before", [[], [fakes.rest_token()]])
async def test_after_a_lost_connection_all_layers_are_sent(
    post: Post, before: list[fakes.Response], photograph: Photograph, encoded: Encoded
) -> None:
    async with post(*before, die, fakes.rest_answer("high")) as (app, client):
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert app.posts[-1].body == join(encoded.layers)
    sent = [len(payload) for p in app.posts for payload in split(p.body)]
    assert answer.bytes_sent == sum(sent)


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
async def test_a_connection_that_is_lost_each_time_is_a_clear_error_in_the_end(
    post: Post, policy: Any, photograph: Photograph
) -> None:
    async with post(die, policy=policy) as (_, client):
        with pytest.raises((errors.ConnectionLost, errors.DeadlineExceeded)):
            await client.classify(photograph, timeout=0.3)


async def test_a_connection_may_be_lost_several_times(post: Post, photograph: Photograph) -> None:
    async with post(die, die, die, die, fakes.rest_answer("high")) as (app, client):
        assert (await client.classify(photograph)).stage == "high"
    assert len(app.posts) == 5


async def test_no_server_behind_a_proxy_is_waited_for(post: Post, photograph: Photograph) -> None:
    away = [fakes.Response(status, b"<html>nginx</html>") for status in (502, 503, 504)]
    async with post(*away, die, *away, fakes.rest_answer()) as (app, client):
        assert (await client.classify(photograph)).label == "class 3"
    assert len(app.posts) == 8
    # Before a payload is sent again, a few bytes ask whether a server is there.
    assert sum(get.path == "/readyz" for get in app.gets) >= 6


async def test_closing_ends_what_is_under_way(photograph: Photograph, tiny_profile: Profile) -> None:
    app = fakes.FakeRest(tiny_profile, fakes.hang)
    async with fakes.serve_rest(app) as address:
        async with AsyncClient(address) as client:
            asking = asyncio.create_task(client.classify(photograph))
            await until(lambda: app.posts)
        with pytest.raises(errors.ConnectionLost, match="closed"):
            await asking


@pytest.mark.parametrize("before", [[], [fakes.rest_token()]])
async def test_a_silent_server_costs_only_the_time_allowed(
    post: Post, before: list[fakes.Response], photograph: Photograph
) -> None:
    async with post(*before, fakes.hang) as (_, client):
        with pytest.raises(errors.DeadlineExceeded, match=r"within 0\.3 s"):
            await client.classify(photograph, timeout=0.3)


async def test_a_busy_server_is_asked_again_when_it_likes(
    post: Post, photograph: Photograph, encoded: Encoded
) -> None:
    busy = fakes.rest_error(429, "RESOURCE_EXHAUSTED", retry_after="0")
    loading = fakes.rest_error(503, "UNAVAILABLE", retry_after="1")
    async with post(loading, fakes.rest_answer()) as (_, client):
        answer = await client.classify(photograph)
    assert answer.bytes_sent == 2 * len(encoded.layers[0])
    async with post(busy) as (_, client):
        with pytest.raises(errors.Refused):
            await client.classify(photograph)


@pytest.mark.parametrize(("status", "code"), [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")])
async def test_a_pause_longer_than_the_deadline_is_not_waited_for(
    post: Post, status: int, code: str, photograph: Photograph
) -> None:
    async with post(fakes.rest_error(status, code, retry_after="3600")) as (app, client):
        with pytest.raises((errors.Refused, errors.Unavailable)) as caught:
            await client.classify(photograph)
    assert caught.value.retry_after == 3600
    assert len(app.posts) == 1


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (fakes.rest_error(400, "INVALID_ARGUMENT"), errors.BadPayload),
        (fakes.rest_error(401, "UNAUTHENTICATED"), errors.Unauthenticated),
        (fakes.rest_error(413, "INVALID_ARGUMENT"), errors.BadPayload),
        (fakes.rest_error(504, "DEADLINE_EXCEEDED"), errors.DeadlineExceeded),
        (fakes.rest_error(500, "INTERNAL"), errors.ServerFailed),
        (fakes.Response(404, b"nothing here"), errors.ProtocolError),
        (fakes.Response(500, b"\xff\xfe"), errors.ServerFailed),
        (fakes.Response(302, b"", {"location": "http://example.invalid/"}), errors.ProtocolError),
        (fakes.Response(418, ["teapot"]), errors.ProtocolError),
        (fakes.Response(200, b"<html>welcome</html>"), errors.ProtocolError),
        (fakes.Response(200, []), errors.ProtocolError),
        (fakes.Response(200, {"top": []}), errors.ProtocolError),
        (fakes.rest_answer("middle"), errors.ProtocolError),
        (fakes.rest_answer(index=10), errors.ProtocolError),
        (fakes.rest_answer(index=-1), errors.ProtocolError),
        (fakes.rest_token("../../etc"), errors.ProtocolError),
        (fakes.rest_token(layers=3), errors.ProtocolError),
        (fakes.rest_token(layers=1), errors.ProtocolError),
        (fakes.rest_answer(layers=3), errors.ProtocolError),
        (fakes.Response(202, {"token": "t", "high_bytes": 9}), errors.WrongVersion),
        (fakes.rest_error(426, "FAILED_PRECONDITION"), errors.WrongVersion),
        (fakes.Response(202, {}), errors.ProtocolError),
        (fakes.Response(202, b"?"), errors.ProtocolError),
        (fakes.Response(200, b"not zipped", {"content-encoding": "gzip"}), errors.ProtocolError),
        (fakes.Response(200, b"x", {"content-length": "zero"}), errors.OvertoneError),
    ],
)
async def test_other_responses_become_errors_of_the_family(
    post: Post, response: fakes.Response, kind: type[errors.OvertoneError], photograph: Photograph
) -> None:
    async with post(response, timeout=5.0) as (_, client):
        with pytest.raises(kind):
            await client.classify(photograph)


async def test_a_changed_model_is_noticed_and_encoded_for(
    post: Post, photograph: Photograph, other_profile: Profile
) -> None:
    def change(request: fakes.Request) -> fakes.Response:
        app.profile = other_profile
        return fakes.rest_error(409, "FAILED_PRECONDITION")

    async with post(change, fakes.rest_answer()) as (app, client):
        answer = await client.classify(photograph)
    assert answer.label == "other 3"
    assert app.posts[1].body == join(encode(fit(open_rgb(photograph), 64), other_profile).layers[:1])
    assert answer.bytes_sent == sum(len(split(p.body)[0]) for p in app.posts)


async def test_a_server_that_refuses_every_profile(post: Post, photograph: Photograph) -> None:
    async with post(fakes.rest_error(409, "FAILED_PRECONDITION")) as (app, client):
        with pytest.raises(errors.WrongProfile):
            await client.classify(photograph)
    assert len(app.posts) == 2


@pytest.mark.parametrize(
    "app",
    [
        lambda request: fakes.Response(200, b"not a profile"),
        lambda request: fakes.rest_error(401, "UNAUTHENTICATED"),
        die,
        fakes.hang,
    ],
)
async def test_no_profile_is_an_error_in_time(app: Callable[[fakes.Request], Any]) -> None:
    async def serve(request: fakes.Request) -> fakes.Response:
        response: fakes.Response | Awaitable[fakes.Response] = app(request)
        return response if isinstance(response, fakes.Response) else await response

    async with fakes.serve_rest(serve) as address:
        with pytest.raises(errors.OvertoneError):
            async with AsyncClient(address, timeout=1.0):
                pass
