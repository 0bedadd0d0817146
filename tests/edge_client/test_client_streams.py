"""Streams of images, over either transport."""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from PIL import Image

from overtone.edge_client import AsyncClient, BadImage, Client, OvertoneError
from overtone.frequency import Profile, Source, encode, fit, open_rgb
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.conftest import Talk
from tests.edge_client.fakes import Stream, in_thread, serve
from tests.waiting import until


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_stream_keeps_order_and_isolates_what_fails(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG")
    # Pillow decodes it only when it is looked at.
    cut_short = Image.open(io.BytesIO(buffer.getvalue()[:-200]))
    sources: list[Source] = [photograph, b"bad", photograph, cut_short, photograph]
    async with serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        results = [result async for result in client.stream(sources)]
    assert [result.image is source for result, source in zip(results, sources, strict=True)] == [True] * 5
    assert [result.answer is not None for result in results] == [True, False, True, False, True]
    assert isinstance(results[1].error, BadImage)
    assert isinstance(results[3].error, BadImage)
    with pytest.raises(BadImage):
        results[1].get()


async def test_a_stream_is_in_order_though_answers_are_not(
    talk: Talk, photograph: Photograph, tiny_profile: Profile
) -> None:
    images = [photograph // divisor for divisor in range(1, 9)]
    lows = [encode(fit(open_rgb(image), 64), tiny_profile).layers[0] for image in images]

    async def later_first(stream: Stream, image: pb.Image) -> None:
        await asyncio.sleep(0.05 if image.id % 2 else 0)
        await stream.answer(image.id, index=lows.index(image.layers[0]))

    async with talk(later_first) as (_, client):
        results = [result async for result in client.stream(images)]
    assert [result.get().index for result in results] == list(range(8))
    assert all(result.image is image for result, image in zip(results, images, strict=True))


@pytest.mark.parametrize("streaming", [True, False])
async def test_several_images_are_in_flight_at_a_time_within_credits(
    talk: Talk, streaming: bool, photograph: Photograph
) -> None:
    now = most = 0

    async def counting(stream: Stream, image: pb.Image) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        await stream.answer(image.id)

    async with talk(counting, credits=3) as (_, client):
        if streaming:
            assert len([result.get() async for result in client.stream([photograph] * 9, in_flight=100)]) == 9
        else:
            await asyncio.gather(*(client.classify(photograph) for _ in range(9)))
    assert 1 < most <= 3


async def test_a_stream_takes_asynchronous_sources_and_passes_their_errors_on(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def camera() -> AsyncIterator[Photograph]:
        yield photograph
        yield photograph
        raise RuntimeError("unplugged")

    async with serve("http", tiny_profile) as address, AsyncClient(address) as client:
        results = client.stream(camera())
        assert (await anext(results)).answer is not None
        assert (await anext(results)).answer is not None
        with pytest.raises(RuntimeError, match="unplugged"):
            await anext(results)


async def test_a_stream_may_be_left(photograph: Photograph, tiny_profile: Profile) -> None:
    taken = 0

    def endless() -> Iterator[Photograph]:
        nonlocal taken
        while True:
            taken += 1
            yield photograph

    async with serve("grpc", tiny_profile) as address, AsyncClient(address) as client:
        async with contextlib.aclosing(client.stream(endless())) as results:
            async for _ in results:
                break
        so_far = taken
        assert (await client.classify(photograph)).label == "class 3"
        assert taken <= so_far + 1


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_stream_does_not_outlive_its_synchronous_client(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    with in_thread(serve(scheme, tiny_profile)) as address:
        with Client(address) as client:
            read_on, let_go = (client.stream([photograph]) for _ in range(2))
            assert next(read_on).answer is not None
            assert next(let_go).answer is not None
        with pytest.raises(OvertoneError, match="closed"):
            next(read_on)
        let_go.close()  # type: ignore[attr-defined]


async def test_a_stream_takes_no_image_before_it_can_be_sent(talk: Talk, photograph: Photograph) -> None:
    """The image of a camera must not grow old while it waits for others."""
    taken = 0
    release = asyncio.Event()

    def camera() -> Iterator[Photograph]:
        nonlocal taken
        while True:
            taken += 1
            yield photograph

    async def held(stream: Stream, image: pb.Image) -> None:
        await release.wait()
        await stream.answer(image.id)

    async with (
        talk(held) as (cascade, client),
        contextlib.aclosing(client.stream(camera(), in_flight=2)) as results,
    ):
        first = asyncio.ensure_future(anext(results))
        await until(lambda: len(cascade.images) == 2)
        await asyncio.sleep(0.05)
        assert taken == 2
        release.set()
        await first


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_iterable_that_blocks_does_not_hold_the_event_loop(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    """Neither while the loop runs, nor when it is closed."""
    unplugged = threading.Event()

    def camera() -> Iterator[Photograph]:
        yield photograph
        unplugged.wait()

    async def main() -> None:
        async with (
            serve(scheme, tiny_profile) as address,
            AsyncClient(address) as client,
            contextlib.aclosing(client.stream(camera())) as results,
        ):
            assert (await anext(results)).answer is not None
            assert (await client.classify(photograph)).label == "class 3"

    running = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    running.start()
    running.join(timeout=20)
    stuck = running.is_alive()
    unplugged.set()
    running.join()
    assert not stuck
