"""Connections that go dead without notice, through a real relay."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.edge_client import (
    AsyncClient,
    ConnectionLost,
    DeadlineExceeded,
)
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, confident, escalating, serve_grpc
from tests.edge_client.relay import Relay

Photograph = NDArray[np.uint8]


async def leaving_for_ever(stream: Stream, image: pb.Image) -> None:
    await stream.say(go_away=pb.GoAway(reason="draining"))


@pytest.mark.parametrize("timeout", [2.0, 5.0])
async def test_an_image_on_a_dead_connection_is_answered_on_a_new_one_in_time(
    timeout: float, photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, escalating)
    async with (
        serve_grpc(cascade) as address,
        Relay(address.removeprefix("grpc://")) as relay,
        AsyncClient(f"grpc://{relay.address}", timeout=timeout) as client,
    ):
        await client.classify(photograph)
        relay.go_dead()
        assert [(await client.classify(photograph)).stage for _ in range(3)] == ["high"] * 3
    assert relay.accepted == len(cascade.hellos) == 2


async def test_all_images_in_flight_leave_a_dead_connection_together(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with (
        serve_grpc(cascade) as address,
        Relay(address.removeprefix("grpc://")) as relay,
        AsyncClient(f"grpc://{relay.address}", timeout=2.0) as client,
    ):
        relay.go_dead()
        results = [result async for result in client.stream([photograph] * 6)]
    assert [result.get().label for result in results] == ["class 3"] * 6
    assert relay.accepted == 2


async def test_a_dead_connection_is_left_even_if_no_image_has_time_for_another(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async with (
        serve_grpc(FakeCascade(tiny_profile, confident)) as address,
        Relay(address.removeprefix("grpc://")) as relay,
        AsyncClient(f"grpc://{relay.address}", timeout=0.6) as client,
    ):
        relay.go_dead()
        results = [result async for result in client.stream([photograph] * 4, in_flight=1)]
    assert isinstance(results[0].error, DeadlineExceeded)
    assert results[-1].answer is not None


async def test_a_server_that_is_only_slow_keeps_its_connection(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """For longer than it takes to give up a dead one."""

    async def slow(stream: Stream, image: pb.Image) -> None:
        await asyncio.sleep(1.5)
        await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, slow)
    async with serve_grpc(cascade) as address, AsyncClient(address, timeout=2.4) as client:
        assert (await client.classify(photograph)).label == "class 3"
    assert len(cascade.hellos) == len(cascade.images) == 1


async def test_a_session_is_opened_again_if_its_connection_is_given_up_meanwhile(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """An image waits on the session before, on the same dead connection."""
    cascade = FakeCascade(tiny_profile, leaving_for_ever, confident)
    async with (
        serve_grpc(cascade) as address,
        Relay(address.removeprefix("grpc://")) as relay,
        AsyncClient(f"grpc://{relay.address}") as client,
    ):
        old = asyncio.create_task(client.classify(photograph, timeout=2.0))
        while not cascade.images:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        relay.go_dead()
        new = asyncio.create_task(client.classify(photograph))
        assert [answer.label for answer in await asyncio.gather(old, new)] == ["class 3"] * 2
    assert relay.accepted == 2


async def test_a_card_is_an_error_if_its_connection_is_given_up_meanwhile(
    photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, Relay(address.removeprefix("grpc://")) as relay:
        async with AsyncClient(address, cache=tmp_path):
            pass
        # The profile is known now, so the card has not come along with it.
        async with AsyncClient(f"grpc://{relay.address}", cache=tmp_path) as client:
            relay.go_dead()
            image = asyncio.create_task(client.classify(photograph, timeout=2.0))
            with pytest.raises(ConnectionLost):
                await client.card()
            assert (await image).label == "class 3"
            assert (await client.card())["name"] == "tiny"
