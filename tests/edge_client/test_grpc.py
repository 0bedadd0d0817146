"""The client against a gRPC server that misbehaves."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.benchmarks.link.link import Link
from overtone.edge_client import (
    AsyncClient,
    BadPayload,
    ConnectionLost,
    DeadlineExceeded,
    ProtocolError,
    Refused,
    Unauthenticated,
    Unavailable,
    WrongProfile,
    encode_image,
    grpc_transport,
)
from overtone.edge_client.retry import MAX_ATTEMPTS
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import CARD, FakeCascade, Stream, confident, escalating, serve_grpc
from tests.edge_client.relay import Relay

Photograph = NDArray[np.uint8]


@pytest.fixture
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


async def silent(stream: Stream, image: pb.Image) -> None:
    """Never answers."""


async def dying(stream: Stream, image: pb.Image) -> None:
    """Breaks off at once."""
    stream.die()


async def dying_between(stream: Stream, image: pb.Image) -> None:
    """Asks for high, and is gone before it comes."""
    await stream.need_high(image.id)
    stream.die()


async def dying_after_high(stream: Stream, image: pb.Image) -> None:
    if not image.high_follows:
        await stream.need_high(image.id)
    await stream.high(image.id)
    stream.die()


async def test_a_confident_server_gets_low_only(
    photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with (
        serve_grpc(cascade) as address,
        AsyncClient(address, top=2, operating_point="always") as client,
    ):
        answer = await client.classify(photograph)
    assert (answer.label, answer.index, answer.confidence) == ("class 3", 3, 0.75)
    assert [(s.label, s.probability) for s in answer.top] == [("class 3", 0.75), ("class 1", 0.25)]
    assert (answer.stage, answer.confident, answer.model) == ("low", True, "tiny")
    assert (answer.timings.queue_ms, answer.timings.compute_ms) == (1.0, 2.0)
    assert answer.timings.total_ms >= answer.timings.encode_ms > 0
    assert [image.low for image in cascade.images] == [encoded.low]
    assert cascade.streams[0].highs == {}
    assert answer.bytes_sent == len(encoded.low)
    # No deadline: it would end images whose own time limit is longer than the client's.
    assert cascade.hellos[0].options == pb.Options(operating_point="always", top=2)


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
async def test_a_doubtful_server_gets_high(
    policy: str, photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    cascade = FakeCascade(tiny_profile, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address, policy=policy) as client:  # type: ignore[arg-type]
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [image.high_follows for image in cascade.images] == [policy == "at_once"]
    assert list(cascade.streams[0].highs.values()) == [encoded.high]
    assert answer.bytes_sent == len(encoded.low) + len(encoded.high)


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


async def test_never_more_in_flight_than_credits(photograph: Photograph, tiny_profile: Profile) -> None:
    now = most = 0

    async def slow(stream: Stream, image: pb.Image) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, slow)
    cascade.credits = 2
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        await asyncio.gather(*(client.classify(photograph) for _ in range(6)))
    assert most == 2


async def test_a_cancelled_image_leaves_its_credit_to_the_next(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """The server frees the credit when it reads the cancel, so that has to come before the next image."""

    async def only_even(stream: Stream, image: pb.Image) -> None:
        if image.id % 2 == 0:
            await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, only_even)
    cascade.credits = 1
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        for number in range(1, 40, 2):
            given_up = asyncio.create_task(client.classify(photograph))
            while len(cascade.images) < number:
                await asyncio.sleep(0.001)
            given_up.cancel()
            assert (await client.classify(photograph)).label == "class 3"
    assert (len(cascade.cancels), cascade.refused) == (20, 0)


async def test_an_image_that_is_given_up_before_it_is_sent_needs_no_cancel(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        encoded = encode_image(photograph, tiny_profile)
        given_up = asyncio.create_task(client.classify(encoded))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        await client.classify(photograph)
    assert len(cascade.cancels) == len(cascade.images) - 1


async def test_answers_may_come_in_any_order(photograph: Photograph, tiny_profile: Profile) -> None:
    variants = [photograph // divisor for divisor in (1, 2, 3)]
    lows = [encode(fit(open_rgb(variant), 64), tiny_profile).low for variant in variants]
    waiting: list[pb.Image] = []

    async def backwards(stream: Stream, image: pb.Image) -> None:
        waiting.append(image)
        if len(waiting) == 3:
            for held in reversed(waiting):
                await stream.answer(held.id, index=lows.index(held.low))

    async with serve_grpc(FakeCascade(tiny_profile, backwards)) as address, AsyncClient(address) as client:
        answers = await asyncio.gather(*map(client.classify, variants))
    assert [answer.index for answer in answers] == [0, 1, 2]


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
@pytest.mark.parametrize("death", [dying, dying_between, dying_after_high])
async def test_after_a_lost_stream_both_payloads_are_sent(
    policy: str, death: object, photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    cascade = FakeCascade(tiny_profile, death, escalating)  # type: ignore[arg-type]
    async with serve_grpc(cascade) as address, AsyncClient(address, policy=policy) as client:  # type: ignore[arg-type]
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [image.high_follows for image in cascade.images] == [policy == "at_once", True]
    both = len(encoded.low) + len(encoded.high)
    assert both + len(encoded.low) <= answer.bytes_sent <= 2 * both


@pytest.mark.parametrize("death", [dying, dying_between, dying_after_high])
async def test_a_stream_lost_twice_is_a_clear_error(
    death: object, photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, death)  # type: ignore[arg-type]
    async with serve_grpc(cascade) as address, AsyncClient(address, timeout=5.0) as client:
        with pytest.raises(ConnectionLost, match="check the link"):
            await client.classify(photograph)
        assert len(cascade.images) == 2


async def test_a_server_killed_for_good_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    monkeypatch.setattr(grpc_transport, "PAUSES", (0.0, 0.05, 0.1))
    killed = asyncio.Event()

    async def last_word(stream: Stream, image: pb.Image) -> None:
        await stream.need_high(image.id)
        killed.set()

    cascade = FakeCascade(tiny_profile, last_word)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(contextlib.AsyncExitStack())
        address = await server.enter_async_context(serve_grpc(cascade))
        client = await stack.enter_async_context(AsyncClient(address, timeout=5.0))
        asking = asyncio.create_task(client.classify(photograph))
        await killed.wait()
        await server.aclose()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await asking


async def test_a_server_that_comes_back_is_found(photograph: Photograph, tiny_profile: Profile) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
            client = await stack.enter_async_context(AsyncClient(address))
            await client.classify(photograph)
        asking = asyncio.create_task(client.classify(photograph))
        await asyncio.sleep(0.1)
        port = int(address.rpartition(":")[2])
        await stack.enter_async_context(serve_grpc(FakeCascade(tiny_profile, confident), port))
        assert (await asking).label == "class 3"


async def test_a_link_cut_and_restored_is_survived(photograph: Photograph, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, silent, escalating)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://")) as link,
        AsyncClient(f"grpc://{link.address}") as client,
    ):
        asking = asyncio.create_task(client.classify(photograph))
        while not cascade.images:
            await asyncio.sleep(0.01)
        await link.cut()
        await asyncio.sleep(0.05)
        link.restore()
        assert (await asking).stage == "high"


async def test_a_silent_server_costs_only_the_time_allowed(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, silent)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
            await client.classify(photograph, timeout=0.2)
        while not cascade.cancels:
            await asyncio.sleep(0.01)
    assert cascade.cancels == [cascade.images[0].id]


async def test_one_slow_image_does_not_disturb_the_next(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def first_never(stream: Stream, image: pb.Image) -> None:
        if image.id > 1:
            await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, first_never)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(DeadlineExceeded):
            await client.classify(photograph, timeout=0.2)
        assert (await client.classify(photograph)).label == "class 3"
    assert len(cascade.hellos) == 1


@pytest.mark.parametrize("timeout", [1.2, 2.4])
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
        AsyncClient(f"grpc://{relay.address}", timeout=1.5) as client,
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
        AsyncClient(f"grpc://{relay.address}", timeout=0.3) as client,
    ):
        relay.go_dead()
        results = [result async for result in client.stream([photograph] * 12, in_flight=1)]
    lost = [result for result in results if result.error is not None]
    assert 1 <= len(lost) <= 4
    assert results[-1].answer is not None


async def test_a_server_that_is_only_slow_keeps_its_connection(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """For longer than it takes to give up a dead one."""

    async def slow(stream: Stream, image: pb.Image) -> None:
        await asyncio.sleep(1.2)
        await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, slow)
    async with serve_grpc(cascade) as address, AsyncClient(address, timeout=1.5) as client:
        assert (await client.classify(photograph)).label == "class 3"
    assert len(cascade.hellos) == len(cascade.images) == 1


async def leaving_for_ever(stream: Stream, image: pb.Image) -> None:
    await stream.say(go_away=pb.GoAway(reason="draining"))


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
        old = asyncio.create_task(client.classify(photograph, timeout=1.5))
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
            image = asyncio.create_task(client.classify(photograph, timeout=1.5))
            with pytest.raises(ConnectionLost):
                await client.card()
            assert (await image).label == "class 3"
            assert (await client.card())["name"] == "tiny"


@pytest.mark.parametrize("welcomed", [True, False])
async def test_closing_ends_what_is_under_way(
    welcomed: bool, monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    """Neither an image in flight nor one that waits for a session opens another session."""
    monkeypatch.setattr(grpc_transport, "CLOSE_GRACE", 0.05)
    cascade = FakeCascade(tiny_profile, leaving_for_ever, silent)
    async with serve_grpc(cascade) as address:
        async with AsyncClient(address) as client:
            asking = [asyncio.create_task(client.classify(photograph))]
            while not cascade.images:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            cascade.welcomed = welcomed
            asking.append(asyncio.create_task(client.classify(photograph)))
            while len(cascade.hellos) < 2 or (welcomed and len(cascade.images) < 2):
                await asyncio.sleep(0.01)
        await asyncio.wait(asking)
        assert not any(image.cancelled() for image in asking)
        assert [str(image.exception()).partition(";")[0] for image in asking] == ["the client was closed"] * 2
    assert len(cascade.hellos) == 2


async def test_a_stream_begun_without_a_session_sends_several_at_a_time(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """The session before has ended; how many images the server takes is known from it."""
    waiting: list[int] = []

    async def last(stream: Stream, image: pb.Image) -> None:
        await stream.answer(image.id)
        stream.die()

    async def together(stream: Stream, image: pb.Image) -> None:
        waiting.append(image.id)
        if len(waiting) == 3:
            for number in waiting:
                await stream.answer(number)

    async with (
        serve_grpc(FakeCascade(tiny_profile, last, together)) as address,
        AsyncClient(address) as client,
    ):
        await client.classify(photograph)
        await asyncio.sleep(0.05)
        results = [result.get() async for result in client.stream([photograph] * 3)]
    assert len(results) == 3


async def test_no_welcome_is_an_error_in_time(tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    cascade.welcomed = False
    async with serve_grpc(cascade) as address:
        with pytest.raises((DeadlineExceeded, Unavailable)):
            async with AsyncClient(address, timeout=0.3):
                pass


async def test_go_away_moves_new_images_and_lets_old_ones_finish(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    going = asyncio.Event()

    async def leaving(stream: Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        await going.wait()
        await stream.answer(image.id, index=7)

    cascade = FakeCascade(tiny_profile, leaving, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        old = asyncio.create_task(client.classify(photograph))
        while not cascade.images:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert (await client.classify(photograph)).index == 3
        going.set()
        assert (await old).index == 7
    assert len(cascade.hellos) == 2
    assert len(cascade.images) == 2


async def test_images_left_behind_by_go_away_are_sent_once_more(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def leaving(stream: Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        stream.die()

    cascade = FakeCascade(tiny_profile, leaving, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert (await client.classify(photograph)).stage == "high"
    assert [image.high_follows for image in cascade.images] == [False, True]


async def test_lost_state_is_sent_again_once(
    photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    async def forgetful(stream: Stream, image: pb.Image) -> None:
        if not image.high_follows:
            await stream.need_high(image.id)
            await stream.high(image.id)
            stream.whole.clear()
            await stream.need_high(image.id, send_both=True)
        else:
            await stream.high(image.id)
            await stream.answer(image.id, pb.STAGE_HIGH)

    cascade = FakeCascade(tiny_profile, forgetful)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert answer.bytes_sent == 2 * (len(encoded.low) + len(encoded.high))


async def test_a_server_that_always_forgets_is_given_up(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """The image is cancelled there, because the server still counts it against the credits."""

    async def forgetful(stream: Stream, image: pb.Image) -> None:
        if image.id == 1:
            await stream.need_high(image.id, send_both=True)
        else:
            await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, forgetful)
    cascade.credits = 1
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(ProtocolError, match="twice"):
            await client.classify(photograph)
        assert (await client.classify(photograph)).label == "class 3"
    assert cascade.cancels == [1]


async def test_what_is_not_needed_any_more_is_not_sent(photograph: Photograph, tiny_profile: Profile) -> None:
    """When low has been answered, chunks of high that still wait are neither sent nor counted."""
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address, policy="at_once") as client:
        answers = [await client.classify(photograph) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert sum(a.bytes_sent for a in answers) == sum(len(image.low) for image in cascade.images) + sum(
            len(high) for high in cascade.streams[0].highs.values()
        )


class TestErrors:
    async def refused(
        self, profile: Profile, photograph: Photograph, times: int, timeout: float
    ) -> FakeCascade:
        left = times

        async def busy(stream: Stream, image: pb.Image) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                error = pb.Error(id=image.id, code=8, message="queue full", retry_after_ms=50)
                await stream.say(error=error)
            else:
                await stream.answer(image.id)

        cascade = FakeCascade(profile, busy)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            await client.classify(photograph, timeout=timeout)
        return cascade

    async def test_a_busy_server_is_asked_again_when_it_likes(
        self, photograph: Photograph, tiny_profile: Profile
    ) -> None:
        cascade = await self.refused(tiny_profile, photograph, 2, 5.0)
        assert len(cascade.images) == 3

    async def test_but_only_a_few_times(self, photograph: Photograph, tiny_profile: Profile) -> None:
        asked: list[int] = []

        async def busy(stream: Stream, image: pb.Image) -> None:
            asked.append(image.id)
            await stream.say(error=pb.Error(id=image.id, code=8, message="queue full", retry_after_ms=50))

        async with serve_grpc(FakeCascade(tiny_profile, busy)) as address, AsyncClient(address) as client:
            with pytest.raises(Refused, match="queue full") as caught:
                await client.classify(photograph)
        assert caught.value.retry_after == pytest.approx(0.05)
        assert len(asked) == MAX_ATTEMPTS

    async def test_nor_beyond_the_deadline(self, photograph: Photograph, tiny_profile: Profile) -> None:
        with pytest.raises((Refused, DeadlineExceeded)):
            await self.refused(tiny_profile, photograph, 1000, 0.04)

    async def test_a_bad_image_fails_alone(self, photograph: Photograph, tiny_profile: Profile) -> None:
        async def picky(stream: Stream, image: pb.Image) -> None:
            if image.id == 1:
                await stream.say(error=pb.Error(id=image.id, code=3, message="damaged"))
            else:
                await stream.answer(image.id)

        cascade = FakeCascade(tiny_profile, picky)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            with pytest.raises(BadPayload, match="damaged"):
                await client.classify(photograph)
            assert (await client.classify(photograph)).label == "class 3"
        assert len(cascade.hellos) == 1

    async def test_answers_that_make_no_sense(self, photograph: Photograph, tiny_profile: Profile) -> None:
        async def unknown_class(stream: Stream, image: pb.Image) -> None:
            await stream.answer(image.id, index=10)

        async def empty(stream: Stream, image: pb.Image) -> None:
            await stream.say(answer=pb.Answer(id=image.id, stage=pb.STAGE_LOW))

        for nonsense in (unknown_class, empty):
            cascade = FakeCascade(tiny_profile, nonsense)
            async with serve_grpc(cascade) as address, AsyncClient(address) as client:
                with pytest.raises(ProtocolError):
                    await client.classify(photograph)

    async def test_messages_about_unknown_images_are_ignored(
        self, photograph: Photograph, tiny_profile: Profile
    ) -> None:
        async def confused(stream: Stream, image: pb.Image) -> None:
            await stream.answer(4711)
            await stream.need_high(4711)
            await stream.say()
            await stream.answer(image.id)

        cascade = FakeCascade(tiny_profile, confused)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            assert (await client.classify(photograph)).label == "class 3"


async def test_bytes_that_are_not_a_message(photograph: Photograph, tiny_profile: Profile) -> None:
    async def babble(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        await context.write(b"\xff\xff\xff\xff not a message")

    handler = grpc.stream_stream_rpc_method_handler(babble)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("overtone.v1.Cascade", {"Session": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(ProtocolError):
        async with AsyncClient(f"grpc://127.0.0.1:{port}", timeout=5.0):
            pass
    await server.stop(0)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 9])
async def test_a_port_that_is_something_else(sent: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await reader.read(100)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    address = "grpc://{}:{}".format(*server.sockets[0].getsockname())
    with pytest.raises((Unavailable, DeadlineExceeded, ProtocolError)):
        async with AsyncClient(address, timeout=1.0):
            pass
    server.close()


async def test_nothing_is_logged_unasked(tiny_profile: Profile) -> None:
    """Neither by us nor by gRPC, whose core would log this handshake."""
    script = """
import sys
from overtone import Client, OvertoneError
try:
    Client(sys.argv[1], timeout=5.0).__enter__()
except OvertoneError as error:
    print(error)
"""
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        address = address.replace("grpc://", "grpcs://")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, address, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
        )
        printed, logged = await process.communicate()
    assert b"handshake failed" in printed
    assert logged == b""


async def test_no_server_is_reported_soon(tiny_profile: Profile) -> None:
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        pass
    with pytest.raises(Unavailable, match="overtone serve") as caught:
        async with AsyncClient(address, timeout=60.0):
            pass
    assert str(caught.value).count("check") == 1  # one piece of advice


async def test_a_changed_model_is_noticed_and_encoded_for(
    photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    async def changing(stream: Stream, image: pb.Image) -> None:
        stream.server.profile = other_profile
        stream.die()

    cascade = FakeCascade(tiny_profile, changing, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        answer = await client.classify(photograph)
        assert client.profile == other_profile
    assert answer.label == "other 3"
    assert [hello.profile_id for hello in cascade.hellos][1] == tiny_profile.id
    assert cascade.images[-1].low == encode(fit(open_rgb(photograph), 64), other_profile).low
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
        assert client.plan_selector.share == pytest.approx(0.1)
        await client.classify(photograph)
        assert client.plan_selector.share == pytest.approx(0.9, abs=0.01)  # and the image hardly changed that


async def test_a_changed_model_is_fetched_once_for_all_images_in_flight(
    photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    async def changed(stream: Stream, image: pb.Image) -> None:
        wanted = encode(fit(open_rgb(photograph), 64), other_profile).low
        if image.low == wanted:
            await stream.answer(image.id)
        else:
            stream.server.profile = other_profile
            await stream.say(error=pb.Error(id=image.id, code=9, message="another profile"))

    cascade = FakeCascade(tiny_profile, changed)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        answers = await asyncio.gather(*(client.classify(photograph) for _ in range(4)))
    assert {answer.label for answer in answers} == {"other 3"}
    assert cascade.described == 2


async def test_a_server_that_refuses_every_profile(photograph: Photograph, tiny_profile: Profile) -> None:
    async def never(stream: Stream, image: pb.Image) -> None:
        await stream.say(error=pb.Error(id=image.id, code=9, message="another profile"))

    cascade = FakeCascade(tiny_profile, never)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(WrongProfile):
            await client.classify(photograph)
    assert len(cascade.images) == 2


async def test_the_token_travels_once_a_stream(photograph: Photograph, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address, token="secret") as client:
        await client.classify(photograph)
    assert [m["authorization"] for m in cascade.metadata] == ["Bearer secret"]


async def test_a_wrong_token_is_reported_at_once(tiny_profile: Profile) -> None:
    class Guarded(FakeCascade):
        async def admit(self, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")

    async with serve_grpc(Guarded(tiny_profile, confident)) as address:
        with pytest.raises(Unauthenticated, match="token"):
            async with AsyncClient(address, token="wrong"):
                pass


async def test_a_full_server_is_asked_again_when_it_likes(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    class Full(FakeCascade):
        full = 2

        async def admit(self, context: grpc.aio.ServicerContext) -> None:
            if self.full and self.streams:
                self.full -= 1
                pushback = (("grpc-retry-pushback-ms", "20"),)
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many sessions", pushback)

    cascade = Full(tiny_profile, dying, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert (await client.classify(photograph)).stage == "high"
    assert cascade.full == 0
