"""The client in JavaScript fetches the part of the profile that it needs, when it needs it, as Python devices do."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from overtone.frequency import (
    Profile,
    encode,
    encode_further,
    fit,
    join,
    letter_boxed,
    open_rgb,
    pack_part,
    part_of,
)
from overtone.models import read_card
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.javascript.conftest import Device, pixels, script


def rest_of(profile: Profile, *acts: fakes.Act | fakes.Response) -> fakes.FakeRest:
    app = fakes.FakeRest(profile, *acts)
    app.parts = True
    return app


async def asked(device: Device, app: fakes.FakeRest, *images: Photograph, **given: Any) -> list[Any]:
    """What one client makes of the images with this server."""
    options = given.pop("options", {})
    async with fakes.serve_rest(app) as address:
        return await device(
            address=address, clients=[options], images=[pixels(each) for each in images], **given
        )


async def test_tables_of_further_layers_come_when_they_are_wanted(
    photograph: Photograph, three_profile: Profile, device: Device
) -> None:
    acts = (fakes.rest_answer(), fakes.rest_token(layers=3), fakes.rest_answer("high"), fakes.rest_answer())
    app = rest_of(three_profile, *acts)
    answers = await asked(device, app, *[photograph] * 3, options={"quality": 1})
    assert [answer["stage"] for answer in answers] == ["low", "high", "low"]
    assert [get.query for get in app.gets] == [
        {"after": "0", "layers": "1", "quality": "1"},
        {"after": "1", "layers": "3", "quality": "1"},
    ]
    rgb = fit(open_rgb(photograph), three_profile.size)
    at_first = encode(rgb, part_of(three_profile, 1, 1), 1)
    further = encode_further(at_first, part_of(three_profile, 1))
    assert [p.body for p in app.posts[:3]] == [
        join(at_first.layers),
        join(at_first.layers),
        join(further.layers[1:]),
    ]
    assert app.posts[3].body == join(encode(rgb, three_profile, 1).layers[:1])


async def test_who_sends_everything_fetches_everything(
    photograph: Photograph, three_profile: Profile, device: Device
) -> None:
    app = rest_of(three_profile, fakes.rest_answer("high"))
    (answer,) = await asked(device, app, photograph, options={"policy": "at_once"})
    layers = encode(fit(open_rgb(photograph), three_profile.size), three_profile).layers
    assert [(p.path, p.body) for p in app.posts] == [("/v1/classify", join(layers))]
    assert [get.query for get in app.gets] == [{"after": "0", "layers": "0"}]
    assert answer["bytesSent"] == sum(map(len, layers))


async def test_a_picture_that_is_sent_at_once_is_sent_whole(
    photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    app = rest_of(tiny_profile, fakes.rest_detected())
    await asked(device, app, photograph, options={"policy": "at_once"}, detect=True)
    layers = encode(letter_boxed(open_rgb(photograph), tiny_profile.size), tiny_profile).layers
    assert [(p.path, p.body) for p in app.posts] == [("/v1/detect", join(layers))]


async def test_tables_can_be_fetched_before_they_are_wanted(
    photograph: Photograph, three_profile: Profile, device: Device
) -> None:
    app = rest_of(three_profile, fakes.rest_answer())
    await asked(device, app, photograph, fetched=[2, None])
    assert [get.query for get in app.gets] == [
        {"after": "0", "layers": "1"},
        {"after": "1", "layers": "2"},
        {"after": "2", "layers": "3"},
    ]


async def test_a_model_that_changes_before_its_tables_came_is_met_with_its_new_profile(
    photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    other = replace(tiny_profile, name="other")

    def change(request: fakes.Request) -> fakes.Response:
        app.profile = other
        return fakes.rest_token()

    app = rest_of(tiny_profile, change, fakes.rest_answer())
    (answer,) = await asked(device, app, photograph)
    assert answer["label"] == "class 3"
    first = encode(fit(open_rgb(photograph), other.size), part_of(other, layers=1))
    assert app.posts[-1].body == join(first.layers)


@pytest.mark.parametrize("layers", [1, 2])
async def test_tables_that_cannot_be_used_are_an_error(
    layers: int, photograph: Photograph, tiny_profile: Profile, device: Device
) -> None:
    """Damaged ones, and those of fewer layers than were asked for."""
    damaged = pack_part(part_of(tiny_profile), 1)[:-9]

    class Mean(fakes.FakeRest):
        def _get(self, request: fakes.Request) -> fakes.Response:
            if request.query["after"] == "0":
                return super()._get(request)
            tag = {"etag": f'"{self.profile.id.hex()}"', "content-type": "application/vnd.overtone.profile"}
            packed = damaged if layers == 2 else pack_part(part_of(self.profile, layers=1), 1)
            return fakes.Response(200, packed, tag)

    app = Mean(tiny_profile, fakes.rest_token())
    app.parts = True
    (error,) = await asked(device, app, photograph)
    assert error["code"] == "INTERNAL"
    assert ("damaged" if layers == 2 else "tables that it was asked for") in error["message"]


async def test_parts_are_read_as_they_were_packed() -> None:
    """Those of the bundled model, the last ones after the first ones, and streams that are cut or of other bytes."""
    profile = read_card("photographs").profile
    parts = [pack_part(part_of(profile, layers=1)), pack_part(part_of(profile), 1)]
    broken = [parts[0][:-1], parts[0] + b"\0", parts[0][:40] + bytes([parts[0][40] ^ 255]) + parts[0][41:]]
    encoded = [[base64.b64encode(each).decode() for each in group] for group in (parts, broken)]
    tables, refused = await script("parts.js", parts=encoded[0], broken=encoded[1])
    assert tables == json.loads(part_of(profile).to_json())["tables"]["layers"]
    assert refused == [True, True, True]
