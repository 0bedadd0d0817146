"""The client in JavaScript, run by Node: against a real server, and against one that misbehaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from overtone import Answer, AsyncClient
from overtone.frequency import Encoded, Profile, encode, fit, join, open_rgb, split
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.javascript.conftest import Device, pixels
from tests.serving import Serve

POINTS = ("first", "jump", "third")


def die(request: fakes.Request) -> fakes.Response:
    raise fakes.Die


async def of_python(address: str, image: Photograph, point: str) -> Answer:
    """What the Python client gets."""
    async with AsyncClient(
        address, token="secret", policy="on_demand", operating_point=point, top=2
    ) as client:
        return await client.classify(image)


async def classified(device: Device, app: fakes.FakeRest, *images: Photograph, **options: Any) -> list[Any]:
    """What the device makes of the images with this server."""
    async with fakes.serve_rest(app) as address:
        return await device(address=address, clients=[options], images=[pixels(image) for image in images])


async def test_it_gets_the_answers_of_the_python_client(
    serve: Serve, three_checkpoint: Path, photograph: Photograph, device: Device
) -> None:
    async with serve(model=str(three_checkpoint), tokens=("secret",)) as server:
        address = f"http://127.0.0.1:{server.http_port}"
        expected = {point: await of_python(address, photograph, point) for point in POINTS}
        options = [{"token": "secret", "operatingPoint": point, "top": 2} for point in POINTS]
        *answers, refused = await device(address=address, clients=[*options, {}], images=[pixels(photograph)])
    assert (refused["code"], refused["status"]) == ("UNAUTHENTICATED", 401)
    assert [answer["layers"] for answer in answers] == [1, 3, 3]
    for answer, wanted in zip(answers, expected.values(), strict=True):
        assert (answer["layers"], answer["bytesSent"]) == (wanted.layers, wanted.bytes_sent)
        assert [score["label"] for score in answer["top"]] == [score.label for score in wanted.top]
        assert answer["confidence"] == pytest.approx(wanted.confidence)


async def test_layers_are_sent_as_they_are_asked_for(
    photograph: Photograph, encoded: Encoded, tiny_profile: Profile, device: Device
) -> None:
    app = fakes.FakeRest(tiny_profile, fakes.rest_token(), fakes.rest_answer("high"))
    (answer,) = await classified(device, app, photograph, model="tiny")
    assert [(p.path, p.body) for p in app.posts] == [
        ("/v1/images", join(encoded.layers[:1])),
        ("/v1/images/t0-k_n/layers", join(encoded.layers[1:])),
    ]
    assert {p.headers["content-type"] for p in app.posts} == {"application/vnd.overtone"}
    assert [p.query for p in app.posts] == [{"top": "1", "model": "tiny"}] * 2
    assert [p.query for p in app.gets] == [{"after": "0", "layers": "1", "model": "tiny"}]
    assert (answer["stage"], answer["bytesSent"]) == ("high", encoded.size)


async def test_layers_that_were_lost_are_sent_again(
    photograph: Photograph, three_profile: Profile, device: Device
) -> None:
    layers = encode(fit(open_rgb(photograph), three_profile.size), three_profile).layers
    lost = fakes.rest_error(410, "ABORTED")
    acts = (fakes.rest_token(), lost, fakes.rest_token(layers=3, known=2), lost, fakes.rest_answer("high"))
    app = fakes.FakeRest(three_profile, *acts)
    (answer,) = await classified(device, app, photograph)
    assert [len(split(p.body)) for p in app.posts] == [1, 1, 2, 1, 3]
    assert app.posts[-1].body == join(layers)
    assert answer["bytesSent"] == sum(len(payload) for p in app.posts for payload in split(p.body))


async def test_servers_that_are_away_or_busy_are_tried_again(
    photograph: Photograph, encoded: Encoded, tiny_profile: Profile, device: Device
) -> None:
    away = [fakes.Response(502, b"<html>nginx</html>"), fakes.rest_error(503, "UNAVAILABLE")]
    busy = fakes.rest_error(429, "RESOURCE_EXHAUSTED", retry_after="1")
    app = fakes.FakeRest(tiny_profile, *away, die, busy, fakes.rest_answer())
    (answer,) = await classified(device, app, photograph)
    assert answer["label"] == "class 3"
    assert answer["bytesSent"] == 5 * len(encoded.layers[0])
    # Before a payload is sent again, a few bytes ask whether a server is there.
    assert [get.path for get in app.gets] == ["/v1/profile"] + ["/readyz"] * 3


async def test_what_would_come_again_is_an_error_at_once(
    photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    busy = fakes.rest_error(429, "RESOURCE_EXHAUSTED")  # it does not say when it will have room
    detected = fakes.Response(200, {"task": "detect", "stage": "low", "layers": 1, "detections": []})
    app = fakes.FakeRest(tiny_profile, busy, fakes.rest_token(layers=9), detected)
    errors = await classified(device, app, photograph, photograph, photograph)
    assert [error["code"] for error in errors] == ["RESOURCE_EXHAUSTED", "INTERNAL", "INVALID_ARGUMENT"]
    assert len(app.posts) == 3


async def test_a_silent_server_costs_only_the_time_allowed(
    photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    app = fakes.FakeRest(tiny_profile, fakes.rest_token(), fakes.hang)
    (error,) = await classified(device, app, photograph, timeout=300)
    assert (error["code"], error["message"]) == ("DEADLINE_EXCEEDED", "no answer within 0.3 s")


async def test_a_changed_model_is_met_with_its_new_profile(
    photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    other = replace(tiny_profile, name="other")
    app = fakes.FakeRest(tiny_profile, fakes.rest_answer())

    def change(request: fakes.Request) -> fakes.Response:
        app.profile = other
        return fakes.rest_error(409, "FAILED_PRECONDITION")

    app.acts = [fakes.rest_answer(), change, fakes.rest_answer()]
    first, second = await classified(device, app, photograph, photograph)
    assert first["label"] == second["label"] == "class 3"
    sent = [split(p.body)[0] for p in app.posts]
    rgb = fit(open_rgb(photograph), tiny_profile.size)
    expected = [encode(rgb, each).layers[0] for each in (tiny_profile, other)]
    assert sent == [expected[0], expected[0], expected[1]]
    assert [get.path for get in app.gets] == ["/v1/profile"] * 2
