"""A device fetches only the part of the profile that it needs, when it needs it."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.edge_client import (
    AsyncClient,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    UsageError,
    encode_image,
)
from overtone.edge_client.profile_cache import ProfileCache
from overtone.frequency import Profile, encode, fit, open_rgb, part_of, split
from overtone.protos import overtone_pb2 as pb
from tests.edge_client import fakes
from tests.serving import Serve

Photograph = NDArray[np.uint8]


def cascade_of(profile: Profile, *behaviours: fakes.Behaviour) -> fakes.FakeCascade:
    cascade = fakes.FakeCascade(profile, *behaviours)
    cascade.parts = True
    return cascade


def rest_of(profile: Profile, *acts: fakes.Act | fakes.Response) -> fakes.FakeRest:
    app = fakes.FakeRest(profile, *acts)
    app.parts = True
    return app


def asked(cascade: fakes.FakeCascade) -> list[tuple[int, int]]:
    return [(part.after, part.layers) for part in cascade.parted]


async def test_tables_of_further_layers_come_when_they_are_wanted(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = cascade_of(tiny_profile, fakes.confident, fakes.escalating)
    async with fakes.serve_grpc(cascade) as address, AsyncClient(address, policy="on_demand") as client:
        assert client.profile == part_of(tiny_profile, layers=1)
        assert client.plan_selector.shares(2) == pytest.approx((1.0, 0.4))
        answer = await client.classify(photograph)
        assert (answer.label, answer.layers, asked(cascade)) == ("class 3", 1, [(0, 1)])

        cascade.streams[0].die()
        answers = await asyncio.gather(*(client.classify(photograph) for _ in range(3)))
        assert {(a.stage, a.label) for a in answers} == {("high", "class 3")}
        assert (await client.classify(photograph)).stage == "high"

    assert asked(cascade) == [(0, 1), (1, 2)]
    whole = encode(fit(open_rgb(photograph), 64), tiny_profile).layers
    assert {bytes(layer) for stream in cascade.streams for layer in stream.of_layer()} == {whole[1]}
    assert cascade.images[-1].layers[0] == whole[0]
    assert all(hello.options.labels for hello in cascade.hellos)


async def test_the_same_over_rest(photograph: Photograph, tiny_profile: Profile) -> None:
    app = rest_of(tiny_profile, fakes.rest_token(), fakes.rest_answer("high"))
    async with (
        fakes.serve_rest(app) as address,
        AsyncClient(address, policy="on_demand", quality=1) as client,
    ):
        assert client.profile == part_of(tiny_profile, 1, 1)
        answer = await client.classify(photograph)
        assert (await client.labels()).labels == tiny_profile.labels
    assert (answer.label, answer.stage) == ("class 3", "high")
    whole = encode(fit(open_rgb(photograph), 64), tiny_profile, 1).layers
    assert split(app.posts[1].body) == (whole[1],)
    first, further, _ = app.gets
    assert first.query == {"after": "0", "layers": "1", "quality": "1"}
    assert further.query == {"after": "1", "layers": "2", "quality": "1"}


@pytest.mark.parametrize("policy", ["ahead", "at_once"])
async def test_who_sends_everything_unasked_fetches_everything(policy: Any, tiny_profile: Profile) -> None:
    cascade = cascade_of(tiny_profile, fakes.confident)
    async with fakes.serve_grpc(cascade) as address, AsyncClient(address, policy=policy) as client:
        assert client.profile == part_of(tiny_profile)
    assert asked(cascade) == [(0, 0)]


async def test_tables_go_on_coming_when_the_image_that_wanted_them_has_run_out_of_time(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    class Slow(fakes.FakeCascade):
        async def part(self, asked: pb.Part) -> pb.Model:
            if asked.after:
                await allowed.wait()
            return await super().part(asked)

    allowed = asyncio.Event()
    cascade = Slow(tiny_profile, fakes.escalating)
    cascade.parts = True
    async with fakes.serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(DeadlineExceeded):
            await client.classify(photograph, timeout=0.2)
        allowed.set()
        assert (await client.classify(photograph)).stage == "high"
    assert asked(cascade) == [(0, 1), (1, 2)]


async def test_closing_ends_what_waits_for_tables(photograph: Photograph, tiny_profile: Profile) -> None:
    class Stuck(fakes.FakeCascade):
        async def part(self, asked: pb.Part) -> pb.Model:
            if asked.after:
                waiting.set()
                await asyncio.sleep(60)
            return await super().part(asked)

    waiting = asyncio.Event()
    cascade = Stuck(tiny_profile, fakes.escalating)
    cascade.parts = True
    async with fakes.serve_grpc(cascade) as address:
        async with AsyncClient(address) as client:
            asking = asyncio.create_task(client.classify(photograph))
            await waiting.wait()
        with pytest.raises(ConnectionLost):
            await asking


async def test_a_server_that_withholds_tables_is_an_error(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    class Mean(fakes.FakeCascade):
        async def part(self, asked: pb.Part) -> pb.Model:
            return await super().part(pb.Part(after=asked.after, layers=1))

    cascade = Mean(tiny_profile, fakes.escalating)
    cascade.parts = True
    async with fakes.serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(ProtocolError, match="tables"):
            await client.classify(photograph)


async def test_an_image_encoded_before_is_continued(photograph: Photograph, tiny_profile: Profile) -> None:
    cascade = cascade_of(tiny_profile, fakes.escalating)
    async with fakes.serve_grpc(cascade) as address, AsyncClient(address) as client:
        image = encode_image(photograph, client.profile)
        assert len(image.encoded.layers) == 1
        for _ in range(2):
            assert (await client.classify(image)).stage == "high"


@pytest.mark.parametrize("quality", [None, 3])
async def test_parts_are_kept_for_each_quality(
    quality: int | None, photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    cascade = cascade_of(tiny_profile, fakes.escalating)
    app = rest_of(tiny_profile, fakes.rest_answer())
    async with fakes.serve_grpc(cascade) as address, fakes.serve_rest(app) as rest_address:
        for _ in range(2):
            async with AsyncClient(address, quality=quality, cache=tmp_path) as client:
                await client.classify(photograph)
        assert client.profile == part_of(tiny_profile, quality)
        async with AsyncClient(rest_address, quality=quality, cache=tmp_path) as client:
            assert client.profile == part_of(tiny_profile, quality)
        assert asked(cascade) == [(0, 1), (1, 2)]
        async with AsyncClient(address, quality=1, cache=tmp_path) as client:
            assert client.profile == part_of(tiny_profile, 1, 1)
        async with AsyncClient(address, quality=2, cache=tmp_path) as client:
            assert await client.whole_profile() == tiny_profile
    assert ProfileCache(tmp_path, 2).get(tiny_profile.id) == part_of(tiny_profile, 2, 1)
    for path in tmp_path.glob("*.part"):
        path.write_bytes(path.read_bytes()[:-3])
    assert ProfileCache(tmp_path, quality).get(tiny_profile.id) == tiny_profile


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_real_server_sends_parts(
    scheme: str, photograph: Photograph, serve: Serve, tiny_profile: Profile
) -> None:
    async with serve() as server:
        address = f"{scheme}://{server.host}:{server.grpc_port if scheme == 'grpc' else server.http_port}"
        async with AsyncClient(address, operating_point="never", quality=1) as client:
            assert client.profile == part_of(tiny_profile, 1, 1)
            for _ in range(2):
                answer = await client.classify(photograph)
                assert (answer.stage, answer.label) == ("high", tiny_profile.labels[answer.index])
            assert client.profile == part_of(tiny_profile, 1)
            assert (await client.labels()).labels == tiny_profile.labels
            assert await client.whole_profile() == tiny_profile
        with pytest.raises(UsageError, match="no quality 9"):
            async with AsyncClient(address, quality=9):
                pass
