"""The session without a transport: messages from an iterator, answers into a list."""

import asyncio
import logging
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from overtone.frequency import Encoded
from overtone.gpu_server.errors import BadRequest, ClientDisconnected, Overloaded, ServiceError
from overtone.gpu_server.fair_share import Peer
from overtone.gpu_server.service import Service
from overtone.gpu_server.session import Session
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.upload import MAX_CHUNK, Upload
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, MakeSettings, value
from tests.waiting import LATER

pytestmark = SHARED_LOOP


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(settings: MakeSettings) -> AsyncIterator[Service]:
    """Every test leaves it without a session and without state."""
    async with loaded(settings(credits=4, state_ttl=0.5)) as shared:
        yield shared


@asynccontextmanager
async def loaded(settings: Settings) -> AsyncIterator[Service]:
    service = Service(settings)
    await service.load()
    yield service
    await service.stop()


# Messages that the device sends, and events that it waits for.
Script = Sequence[pb.Upstream | asyncio.Event]


class Heard:
    """What a session says, and whether it has answered, or asked for high, or for both payloads."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.answered = asyncio.Event()
        self.asked = asyncio.Event()
        self.asked_both = asyncio.Event()

    async def __call__(self, message: pb.Downstream) -> None:
        kind = message.WhichOneof("message")
        self.said.append(getattr(message, str(kind)))
        if kind == "answer":
            self.answered.set()
        elif kind == "need_high":
            (self.asked_both if message.need_high.send_both else self.asked).set()

    def kinds(self) -> list[type]:
        return [type(message) for message in self.said]


async def play(service: Service, script: Script, heard: Heard | None = None, pause: float = 0.0) -> Heard:
    """What the session says to these messages, where the device waits for these events; the stream ends after them."""

    async def upstream() -> AsyncIterator[pb.Upstream]:
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
                step.clear()
            else:
                yield step
                await asyncio.sleep(pause)

    heard = heard or Heard()
    async with asyncio.timeout(LATER):
        await Session(service, heard).run(upstream())
    return heard


def hello(point: str) -> pb.Upstream:
    return pb.Upstream(hello=pb.Hello(options=pb.Options(operating_point=point)))


def image(number: int, low: bytes, follows: bool) -> pb.Upstream:
    return pb.Upstream(image=pb.Image(id=number, low=low, high_follows=follows))


def chunks(number: int, high: bytes, size: int) -> list[pb.Upstream]:
    return [
        pb.Upstream(
            high=pb.HighChunk(id=number, offset=o, data=high[o : o + size], last=o + size >= len(high))
        )
        for o in range(0, len(high), size)
    ]


async def test_empty_and_wordless_streams(service: Service) -> None:
    with pytest.raises(ClientDisconnected):
        await play(service, [])
    assert (await play(service, [hello("always")])).kinds() == [pb.Welcome]
    with pytest.raises(BadRequest):
        await play(service, [pb.Upstream()])


async def test_messages_of_a_newer_protocol_are_ignored(service: Service, encoded: Encoded) -> None:
    unknown = pb.Upstream.FromString(b"\xfa\x01\x02hi")  # field 31
    heard = await play(service, [hello("always"), unknown, image(1, encoded.low, False)])
    assert heard.kinds() == [pb.Welcome, pb.Answer]


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_messages_ends_well(service: Service, encoded: Encoded, seed: int) -> None:
    """Every image is finished once each time it is taken; nothing is left behind."""
    rng = random.Random(seed)
    lows = [encoded.low, encoded.low, encoded.low[:-1], b"", encoded.high]
    messages = [hello(rng.choice(["always", "never", "default"]))]
    sent: Counter[int] = Counter()
    for _ in range(40):
        number = rng.randrange(6)
        match rng.randrange(8):
            case 0 | 1 | 2:
                messages.append(image(number, rng.choice(lows), rng.random() < 0.5))
                sent[number] += 1
            case 3 | 4 | 5:
                messages += chunks(number, rng.choice([encoded.high, encoded.low]), rng.choice([50, 5000]))
            case 6:
                messages += chunks(number, encoded.high, 100)[1:]
            case 7:
                messages.append(pb.Upstream(cancel=pb.Cancel(id=number)))
    if rng.random() < 0.5:
        messages.append(pb.Upstream(end=pb.End()))
    heard = await play(service, messages, pause=rng.choice([0.0, 0.002]))
    final = Counter(m.id for m in heard.said if isinstance(m, pb.Answer | pb.Error))
    assert all(final[number] <= sent[number] for number in final)
    await asyncio.sleep(0)
    assert service.store.bytes == 0
    assert value(service.metrics, "overtone_sessions") == 0


def dropped(service: Service) -> float:
    return value(service.metrics, "overtone_dropped_bytes_total")


async def test_high_that_comes_unasked_is_dropped_where_low_suffices(
    service: Service, encoded: Encoded
) -> None:
    """Some of it before the answer, some after."""
    before, heard = dropped(service), Heard()
    early, *late = chunks(1, encoded.high, 50)
    await play(service, [hello("always"), image(1, encoded.low, False), early, heard.answered, *late], heard)
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert dropped(service) - before == len(encoded.high)
    assert service.store.bytes == 0


async def test_high_that_is_here_already_is_not_asked_for(service: Service, encoded: Encoded) -> None:
    before = dropped(service)
    heard = await play(service, [hello("never"), image(1, encoded.low, False), *chunks(1, encoded.high, 50)])
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert heard.said[1].stage == pb.STAGE_HIGH
    assert dropped(service) == before


async def test_the_rest_is_asked_for_where_some_came_unasked(service: Service, encoded: Encoded) -> None:
    early, *late = chunks(1, encoded.high, 50)
    heard = Heard()
    await play(service, [hello("never"), image(1, encoded.low, False), early, heard.asked, *late], heard)
    assert heard.kinds() == [pb.Welcome, pb.NeedHigh, pb.Answer]
    assert not heard.said[1].send_both
    assert heard.said[2].stage == pb.STAGE_HIGH


async def test_only_the_store_holds_low_while_high_is_awaited(service: Service, encoded: Encoded) -> None:
    message = image(1, encoded.low, False)
    sent = message.image
    before = sys.getrefcount(sent)
    heard = Heard()

    async def upstream() -> AsyncIterator[pb.Upstream]:
        yield hello("never")
        yield message
        await heard.asked.wait()
        assert sys.getrefcount(sent) == before
        for chunk in chunks(1, encoded.high, 50):
            yield chunk

    async with asyncio.timeout(LATER):
        await Session(service, heard).run(upstream())
    assert heard.kinds() == [pb.Welcome, pb.NeedHigh, pb.Answer]


async def test_high_that_comes_after_low_was_lost_is_dropped_and_both_are_asked_for(
    settings: MakeSettings, encoded: Encoded
) -> None:
    """There is room for one image of a session, so the second takes the place of the first."""
    heard = Heard()
    first, second = (chunks(number, encoded.high, 500) for number in (1, 2))
    script: list[pb.Upstream | asyncio.Event] = [
        hello("never"),
        image(1, encoded.low, False),
        heard.asked,
        image(2, encoded.low, False),
        heard.asked,
    ]
    script += [*first, *second, heard.asked_both, image(1, encoded.low, True), *first]
    async with loaded(settings(state_bytes=8 * (len(encoded.low) + 1100))) as service:
        await play(service, script, heard)
    needs = [m for m in heard.said if isinstance(m, pb.NeedHigh)]
    assert [(need.id, need.send_both) for need in needs] == [(1, False), (2, False), (1, True)]
    assert [m.id for m in heard.said if isinstance(m, pb.Answer)] == [2, 1]
    assert dropped(service) == len(encoded.high)


async def test_both_payloads_are_not_asked_for_again_where_there_is_no_room(
    settings: MakeSettings, encoded: Encoded
) -> None:
    messages = [hello("never"), image(1, encoded.low, True), *chunks(1, encoded.high, 50)]
    async with loaded(settings(state_bytes=len(encoded.high))) as service:
        heard = await play(service, messages)
    assert heard.kinds() == [pb.Welcome, pb.Error]
    assert heard.said[1].code == Overloaded("").number
    assert heard.said[1].retry_after_ms
    assert dropped(service) == len(encoded.high)


async def test_a_peer_that_never_finishes_takes_no_room_from_others(
    settings: MakeSettings, encoded: Encoded
) -> None:
    """Its sessions send as much of many high payloads as they may, and never the last chunk."""
    chunk, per_image = bytes(MAX_CHUNK), 4
    endless = [
        pb.Upstream(high=pb.HighChunk(id=number, offset=i * MAX_CHUNK, data=chunk))
        for i in range(per_image)
        for number in range(4)
    ]
    full, stop = asyncio.Event(), asyncio.Event()
    arrived = 0

    async def hoard() -> AsyncIterator[pb.Upstream]:
        nonlocal arrived
        yield hello("never")
        for number in range(4):
            yield image(number, encoded.low, True)
        for message in endless:
            yield message
        arrived += 1
        if arrived == len(hoarders):
            full.set()
        await stop.wait()

    async with loaded(settings(credits=4, state_bytes=8 * 4 * per_image * MAX_CHUNK)) as service:
        hoarders = [asyncio.create_task(Session(service, Heard()).run(hoard())) for _ in range(17)]
        async with asyncio.timeout(LATER):
            await full.wait()
        heard = Heard()
        victim: Script = [
            hello("never"),
            image(1, encoded.low, False),
            heard.asked,
            image(2, encoded.low, True),
        ]
        await play(service, [*victim, *chunks(2, encoded.high, 50), *chunks(1, encoded.high, 50)], heard)
        answers = {m.id: m.stage for m in heard.said if isinstance(m, pb.Answer)}
        assert answers == {1: pb.STAGE_HIGH, 2: pb.STAGE_HIGH}, heard.said
        assert service.store.bytes <= service.settings.state_bytes
        stop.set()
        await asyncio.gather(*hoarders)


async def test_a_cancelled_image_gives_its_credit_back_at_once(service: Service, encoded: Encoded) -> None:
    """A device that has all its images in flight may cancel one and send another right behind."""
    heard = Heard()
    credits, replaced = service.settings.credits, 50
    images = [image(number, encoded.low, False) for number in range(credits + replaced)]
    cancels = [pb.Upstream(cancel=pb.Cancel(id=number)) for number in range(credits + replaced)]
    script: list[pb.Upstream | asyncio.Event] = [hello("never"), *images[:credits], heard.asked]
    for cancel, another in zip(cancels, images[credits:], strict=False):
        script += [cancel, another]
    await play(service, [*script, *cancels[replaced:]], heard)
    assert pb.Error not in heard.kinds()
    assert service.store.bytes == 0


async def test_the_id_of_a_cancelled_image_may_be_used_again(service: Service, encoded: Encoded) -> None:
    again = [pb.Upstream(cancel=pb.Cancel(id=1)), image(1, encoded.low, True)]
    first = [image(1, encoded.low, True), *chunks(1, encoded.high, 50)[:-1]]
    heard = await play(service, [hello("never"), *first, *again, *chunks(1, encoded.high, 50)])
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert service.store.bytes == 0


async def test_the_servers_own_errors_are_logged_and_end_the_stream(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    no_message: Any = object()
    with pytest.raises(ServiceError, match="it has been logged") as failure:
        await play(service, [hello("always"), no_message])
    assert failure.value.code.name == "INTERNAL"
    (record,) = [r for r in caplog.records if r.name.startswith("overtone.")]
    assert record.levelno == logging.ERROR
    assert record.exc_info


async def test_a_device_that_does_not_read_is_not_read_either(service: Service) -> None:
    taken = 0
    blocked = asyncio.Event()

    async def upstream() -> AsyncIterator[pb.Upstream]:
        nonlocal taken
        yield hello("always")
        while True:
            taken += 1
            yield image(taken, b"rubbish", False)
            await asyncio.sleep(0)

    async def send(message: pb.Downstream) -> None:
        await blocked.wait()

    task = asyncio.create_task(Session(service, send).run(upstream()))
    seen = -1
    async with asyncio.timeout(LATER):
        while seen != taken:
            seen = taken
            await asyncio.sleep(0.1)
    assert 0 < taken < 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert value(service.metrics, "overtone_sessions") == 0


async def test_upload_reserves_and_gives_back(service: Service) -> None:
    upload = Upload(service.store, Peer("ann"), 100)
    upload.add(0, b"x" * 60, False)
    assert service.store.bytes == 60
    upload.add(60, b"y" * 40, True)
    upload.add(100, b"z", True)
    assert await upload.payload() == b"x" * 60 + b"y" * 40
    upload.close()
    upload.close()
    assert service.store.bytes == 0
