"""Connections that go dead without notice, through a real relay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from overtone.edge_client import AsyncClient, ConnectionLost, DeadlineExceeded
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.edge_client.conftest import Talk
from tests.edge_client.relay import Relay
from tests.waiting import until

Through = Callable[..., AbstractAsyncContextManager[tuple[fakes.FakeCascade, Relay, AsyncClient]]]


@pytest.fixture
def through_relay(tiny_profile: Profile) -> Through:
    """Start a server that behaves like this, a relay to it, and a client of the relay."""

    @asynccontextmanager
    async def opened(
        *behaviours: fakes.Behaviour, timeout: float = 10.0
    ) -> AsyncIterator[tuple[fakes.FakeCascade, Relay, AsyncClient]]:
        cascade = fakes.FakeCascade(tiny_profile, *behaviours)
        async with (
            fakes.serve_grpc(cascade) as address,
            Relay(address.removeprefix("grpc://")) as relay,
            AsyncClient(f"grpc://{relay.address}", timeout=timeout) as client,
        ):
            yield cascade, relay, client

    return opened


@pytest.mark.parametrize("timeout", [2.0, 5.0])
async def test_an_image_on_a_dead_connection_is_answered_on_a_new_one_in_time(
    through_relay: Through, timeout: float, photograph: Photograph
) -> None:
    async with through_relay(fakes.escalating, timeout=timeout) as (cascade, relay, client):
        await client.classify(photograph)
        relay.go_dead()
        assert [(await client.classify(photograph)).stage for _ in range(3)] == ["high"] * 3
    assert relay.accepted == len(cascade.hellos) == 2


async def test_all_images_in_flight_leave_a_dead_connection_together(
    through_relay: Through, photograph: Photograph
) -> None:
    async with through_relay(fakes.confident, timeout=2.0) as (_, relay, client):
        relay.go_dead()
        results = [result async for result in client.stream([photograph] * 6)]
    assert [result.get().label for result in results] == ["class 3"] * 6
    assert relay.accepted == 2


async def test_a_dead_connection_is_left_even_if_no_image_has_time_for_another(
    through_relay: Through, photograph: Photograph
) -> None:
    async with through_relay(fakes.confident, timeout=0.6) as (_, relay, client):
        relay.go_dead()
        results = [result async for result in client.stream([photograph] * 4, in_flight=1)]
    assert isinstance(results[0].error, DeadlineExceeded)
    assert results[-1].answer is not None


async def test_a_server_that_is_only_slow_keeps_its_connection(talk: Talk, photograph: Photograph) -> None:
    """For longer than it takes to give up a dead one."""

    async def slow(stream: fakes.Stream, image: pb.Image) -> None:
        await asyncio.sleep(1.5)
        await stream.answer(image.id)

    async with talk(slow, timeout=2.4) as (cascade, client):
        assert (await client.classify(photograph)).label == "class 3"
    assert len(cascade.hellos) == len(cascade.images) == 1


async def test_a_session_is_opened_again_if_its_connection_is_given_up_meanwhile(
    through_relay: Through, photograph: Photograph
) -> None:
    """An image waits on the session before, on the same dead connection."""
    async with through_relay(fakes.leaving_for_ever, fakes.confident) as (cascade, relay, client):
        old = asyncio.create_task(client.classify(photograph, timeout=2.0))
        await until(lambda: cascade.images)
        await asyncio.sleep(0.05)
        relay.go_dead()
        new = asyncio.create_task(client.classify(photograph))
        assert [answer.label for answer in await asyncio.gather(old, new)] == ["class 3"] * 2
    assert relay.accepted == 2


async def test_a_card_is_an_error_if_its_connection_is_given_up_meanwhile(
    photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    cascade = fakes.FakeCascade(tiny_profile, fakes.confident)
    async with fakes.serve_grpc(cascade) as address, Relay(address.removeprefix("grpc://")) as relay:
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
