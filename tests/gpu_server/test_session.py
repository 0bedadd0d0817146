"""The session without a transport: messages from an iterator, answers into a list."""

import asyncio
import logging
import random
import sys
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from overtone.frequency import Encoded
from overtone.gpu_server.errors import BadRequest, ClientDisconnected, Overloaded, ServiceError
from overtone.gpu_server.grpc.session import Session
from overtone.gpu_server.limits.fair_share import Peer
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.state import Store
from overtone.gpu_server.upload import MAX_CHUNK, Upload
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import ROOM_FOR_ONE, SHARED_LOOP, MakeSettings, value
from tests.waiting import LATER, until

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
    """What a session says, and whether it has answered, asked for more, or for all layers again."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.answered = asyncio.Event()
        self.asked = asyncio.Event()
        self.asked_again = asyncio.Event()

    async def __call__(self, message: pb.Downstream) -> None:
        kind = message.WhichOneof("message")
        self.said.append(getattr(message, str(kind)))
        if kind == "answer":
            self.answered.set()
        elif kind == "need_more":
            (self.asked_again if message.need_more.again else self.asked).set()

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


def image(number: int, *layers: bytes, promised: int = 0) -> pb.Upstream:
    return pb.Upstream(image=pb.Image(id=number, layers=layers, promised=promised))


def chunks(number: int, payload: bytes, size: int, layer: int = 2) -> list[pb.Upstream]:
    ends = range(size, len(payload) + size, size)
    return [
        pb.Upstream(
            chunk=pb.Chunk(
                id=number,
                layer=layer,
                offset=end - size,
                data=payload[end - size : end],
                last=end >= len(payload),
            )
        )
        for end in ends
    ]


def needs(heard: "Heard") -> list[tuple[int, int, bool]]:
    """Image, layers and again of every request for more."""
    return [(m.id, m.layers, m.again) for m in heard.said if isinstance(m, pb.NeedMore)]


def answers(heard: "Heard") -> list[tuple[int, int, int]]:
    """Image, layers and stage of every answer."""
    return [(m.id, m.layers, m.stage) for m in heard.said if isinstance(m, pb.Answer)]


async def test_empty_and_wordless_streams(service: Service) -> None:
    with pytest.raises(ClientDisconnected):
        await play(service, [])
    assert (await play(service, [hello("always")])).kinds() == [pb.Welcome]
    with pytest.raises(BadRequest):
        await play(service, [pb.Upstream()])


async def test_messages_of_a_newer_protocol_are_ignored(service: Service, encoded: Encoded) -> None:
    unknown = pb.Upstream.FromString(b"\xfa\x01\x02hi")  # field 31
    heard = await play(service, [hello("always"), unknown, image(1, encoded.layers[0])])
    assert heard.kinds() == [pb.Welcome, pb.Answer]


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_messages_ends_well(service: Service, encoded: Encoded, seed: int) -> None:
    """Every image is finished once each time it is taken; nothing is left behind."""
    rng = random.Random(seed)
    low, high = encoded.layers
    lows = [low, low, low[:-1], b"", high]
    messages = [hello(rng.choice(["always", "never", "default"]))]
    sent: Counter[int] = Counter()
    for _ in range(40):
        number = rng.randrange(6)
        match rng.randrange(8):
            case 0 | 1 | 2:
                messages.append(image(number, rng.choice(lows), promised=rng.choice((0, 2))))
                sent[number] += 1
            case 3 | 4 | 5:
                messages += chunks(number, rng.choice([high, low]), rng.choice([50, 5000]))
            case 6:
                messages += chunks(number, high, 100, rng.choice((2, 3)))[1:]
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
    early, *late = chunks(1, encoded.layers[1], 50)
    await play(service, [hello("always"), image(1, encoded.layers[0]), early, heard.answered, *late], heard)
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert dropped(service) - before == len(encoded.layers[1])
    assert service.store.bytes == 0


async def test_high_that_is_here_already_is_not_asked_for(service: Service, encoded: Encoded) -> None:
    before = dropped(service)
    heard = await play(
        service, [hello("never"), image(1, encoded.layers[0]), *chunks(1, encoded.layers[1], 50)]
    )
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert heard.said[1].stage == pb.STAGE_HIGH
    assert dropped(service) == before


async def test_the_rest_is_asked_for_where_some_came_unasked(service: Service, encoded: Encoded) -> None:
    early, *late = chunks(1, encoded.layers[1], 50)
    heard = Heard()
    await play(service, [hello("never"), image(1, encoded.layers[0]), early, heard.asked, *late], heard)
    assert heard.kinds() == [pb.Welcome, pb.NeedMore, pb.Answer]
    assert needs(heard) == [(1, 2, False)]
    assert heard.said[2].stage == pb.STAGE_HIGH


async def test_only_the_store_holds_an_image_while_more_is_awaited(
    service: Service, encoded: Encoded
) -> None:
    message = image(1, encoded.layers[0])
    sent = message.image
    before = sys.getrefcount(sent)
    heard = Heard()

    async def upstream() -> AsyncIterator[pb.Upstream]:
        yield hello("never")
        yield message
        await heard.asked.wait()
        assert sys.getrefcount(sent) == before
        ((key, (_, need, _)),) = service.store._entries.items()
        values = weakref.ref(need.image.decoded.values)
        service.store.drop(key)
        del need
        await until(lambda: values() is None)  # the batch that it was in may not be forgotten yet
        for chunk in chunks(1, encoded.layers[1], 50):
            yield chunk

    async with asyncio.timeout(LATER):
        await Session(service, heard).run(upstream())
    assert needs(heard) == [(1, 2, False), (1, 2, True)]


async def test_high_that_comes_after_low_was_lost_is_dropped_and_both_are_asked_for(
    settings: MakeSettings, encoded: Encoded
) -> None:
    """There is room for one image of a session, so the second takes the place of the first."""
    heard = Heard()
    first, second = (chunks(number, encoded.layers[1], 500) for number in (1, 2))
    script: list[pb.Upstream | asyncio.Event] = [
        hello("never"),
        image(1, encoded.layers[0]),
        heard.asked,
        image(2, encoded.layers[0]),
        heard.asked,
    ]
    script += [*first, *second, heard.asked_again, heard.answered]
    script += [image(1, encoded.layers[0], promised=2), *first]
    async with loaded(settings(state_bytes=ROOM_FOR_ONE)) as service:
        await play(service, script, heard)
    assert needs(heard) == [(1, 2, False), (2, 2, False), (1, 2, True)]
    assert answers(heard) == [(2, 2, pb.STAGE_HIGH), (1, 2, pb.STAGE_HIGH)]
    assert dropped(service) == len(encoded.layers[1])


@pytest.mark.parametrize("state_bytes", [64, 9000])  # too few for the further layer, or for the first
async def test_both_payloads_are_not_asked_for_again_where_there_is_no_room(
    settings: MakeSettings, encoded: Encoded, state_bytes: int
) -> None:
    messages = [hello("never"), image(1, encoded.layers[0], promised=2), *chunks(1, encoded.layers[1], 50)]
    async with loaded(settings(state_bytes=state_bytes)) as service:
        heard = await play(service, messages)
    assert heard.kinds() == [pb.Welcome, pb.Error]
    assert heard.said[1].code == Overloaded("").number
    assert heard.said[1].retry_after_ms
    assert dropped(service) == len(encoded.layers[1])


async def test_an_image_without_room_is_asked_for_again_at_once(
    settings: MakeSettings, three_checkpoint: Path, three: Encoded
) -> None:
    """Before the layer that is wanted is sent for nothing. With all that is wanted in one message it needs no room."""
    heard = Heard()
    script: Script = [
        hello("third"),
        image(1, three.layers[0]),
        heard.asked_again,
        image(1, *three.layers[:2]),
        heard.asked_again,
        image(1, *three.layers),
    ]
    async with loaded(settings(model=str(three_checkpoint), state_bytes=600)) as service:
        await play(service, script, heard)
        assert service.store.bytes == 0
    assert needs(heard) == [(1, 2, True), (1, 3, True)]
    assert answers(heard) == [(1, 3, pb.STAGE_HIGH)]


async def test_a_peer_that_never_finishes_takes_no_room_from_others(
    settings: MakeSettings, encoded: Encoded
) -> None:
    """Its sessions send as much of many high payloads as they may, and never the last chunk."""
    chunk, per_image = bytes(MAX_CHUNK), 4
    endless = [
        pb.Upstream(chunk=pb.Chunk(id=number, layer=2, offset=i * MAX_CHUNK, data=chunk))
        for i in range(per_image)
        for number in range(4)
    ]
    full, stop = asyncio.Event(), asyncio.Event()
    arrived = 0

    async def hoard() -> AsyncIterator[pb.Upstream]:
        nonlocal arrived
        yield hello("never")
        for number in range(4):
            yield image(number, encoded.layers[0], promised=2)
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
            image(1, encoded.layers[0]),
            heard.asked,
            image(2, encoded.layers[0], promised=2),
        ]
        await play(
            service, [*victim, *chunks(2, encoded.layers[1], 50), *chunks(1, encoded.layers[1], 50)], heard
        )
        assert sorted(answers(heard)) == [(n, 2, pb.STAGE_HIGH) for n in (1, 2)], heard.said
        assert service.store.bytes <= service.settings.state_bytes
        stop.set()
        await asyncio.gather(*hoarders)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three_service(settings: MakeSettings, three_checkpoint: Path) -> AsyncIterator[Service]:
    async with loaded(settings(model=str(three_checkpoint), credits=4)) as shared:
        yield shared


async def test_layers_are_asked_for_until_one_answers(three_service: Service, three: Encoded) -> None:
    first, second, third = three.layers
    for point, asked, layers in (
        ("first", [], 1),
        ("second", [2], 2),
        ("third", [2, 3], 3),
        ("jump", [3], 3),
    ):
        heard = Heard()
        script: list[pb.Upstream | asyncio.Event] = [hello(point), image(1, first)]
        if asked[:1] == [2]:
            script += [heard.asked, *chunks(1, second, 50)]
        if 3 in asked:
            before = [] if 2 in asked else chunks(1, second, 50)
            script += [heard.asked, *before, *chunks(1, third, 50, 3)]
        await play(three_service, script, heard)
        assert needs(heard) == [(1, up_to, False) for up_to in asked], point
        assert answers(heard) == [(1, layers, pb.STAGE_HIGH if layers == 3 else pb.STAGE_LOW)], point
        assert all(0 < m.so_far.probability <= 1 for m in heard.said if isinstance(m, pb.NeedMore))
    assert three_service.store.bytes == 0


@pytest.mark.parametrize("given", [1, 2, 3])
async def test_layers_that_come_anyway_are_not_asked_for(
    three_service: Service, three: Encoded, given: int
) -> None:
    """Some in the image's message, the others promised and in chunks."""
    before = dropped(three_service)
    further = [
        chunk for layer in range(given + 1, 4) for chunk in chunks(1, three.layers[layer - 1], 50, layer)
    ]
    for point, layers in (("third", 3), ("jump", 3), ("second", 2), ("first", 1)):
        script = [hello(point), image(1, *three.layers[:given], promised=3), *further]
        heard = await play(three_service, script)
        assert needs(heard) == []
        assert [a[:2] for a in answers(heard)] == [(1, layers)], heard.said
        late = sum(map(len, three.layers[layers:]))
        assert dropped(three_service) - before == late
        before += late
    assert three_service.store.bytes == 0


async def test_only_what_was_not_promised_is_asked_for(three_service: Service, three: Encoded) -> None:
    first, second, third = three.layers
    heard = Heard()
    script: Script = [hello("third"), image(1, first, promised=2), *chunks(1, second, 50), heard.asked]
    await play(three_service, [*script, *chunks(1, third, 50, 3)], heard)
    assert needs(heard) == [(1, 3, False)]
    assert [a[:2] for a in answers(heard)] == [(1, 3)]


async def test_chunks_of_layers_that_were_not_needed_are_dropped(
    three_service: Service, three: Encoded
) -> None:
    """Sent ahead of the answer after the second layer, some before it and some behind."""
    before, heard = dropped(three_service), Heard()
    _, second, third = three.layers
    early, *late = chunks(1, third, 50, 3)
    script: Script = [
        hello("second"),
        image(1, three.layers[0]),
        *chunks(1, second, 50),
        early,
        heard.answered,
        *late,
    ]
    await play(three_service, script, heard)
    assert heard.kinds() == [pb.Welcome, pb.Answer]
    assert dropped(three_service) - before == len(third)


async def test_state_that_is_lost_after_the_second_layer(
    settings: MakeSettings, three_checkpoint: Path, three: Encoded
) -> None:
    """All layers are asked for again up to the one that was wanted, and late chunks bring no further request."""
    first, second, third = three.layers
    heard = Heard()
    script: list[pb.Upstream | asyncio.Event] = [
        hello("third"),
        image(1, first),
        heard.asked,
        *chunks(1, second, 500),
        heard.asked,  # for the third layer
        image(2, first),  # which takes the room of the other
        heard.asked,
        *chunks(1, third, 500, 3),
        heard.asked_again,
        *chunks(1, third, 500, 3),  # late
        image(1, *three.layers[:2], promised=3),
        *chunks(1, third, 500, 3),
        heard.answered,
        pb.Upstream(cancel=pb.Cancel(id=2)),
    ]
    async with loaded(settings(model=str(three_checkpoint), state_bytes=ROOM_FOR_ONE)) as service:
        await play(service, script, heard)
        assert service.store.bytes == 0
    assert needs(heard) == [(1, 2, False), (1, 3, False), (2, 2, False), (1, 3, True)]
    assert answers(heard) == [(1, 3, pb.STAGE_HIGH)]
    assert dropped(service) == 2 * len(third)


async def test_an_overloaded_server_answers_after_the_layer_it_has(
    settings: MakeSettings, three_checkpoint: Path, three: Encoded
) -> None:
    """Brown-out: after the first layer, or after the second if that was promised, whatever the point wants."""
    _, second, third = three.layers
    async with loaded(settings(model=str(three_checkpoint), brownout=0)) as service:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(service.core._engine), "overloaded", True)
            for point in ("third", "jump"):
                heard = await play(service, [hello(point), image(1, three.layers[0])])
                assert answers(heard) == [(1, 1, pb.STAGE_BROWNOUT)]
                script = [hello(point), image(1, three.layers[0], promised=2), *chunks(1, second, 50)]
                heard = await play(service, [*script, *chunks(1, third, 50, 3)])
                assert answers(heard) == [(1, 2, pb.STAGE_BROWNOUT)]
                assert needs(heard) == []
                assert not heard.said[-1].confident


async def test_one_bad_layer_fails_its_image_only(three_service: Service, three: Encoded) -> None:
    first, second, third = three.layers
    heard = Heard()
    bad = [
        image(1, first, third),
        image(2, second),
        image(3),
        image(4, first, second[:-1], third),
    ]
    for message in bad:
        await play(three_service, [hello("third"), message, image(9, *three.layers)], heard)
        errors = [m for m in heard.said if isinstance(m, pb.Error)]
        assert [(e.id, e.code) for e in errors] == [(message.image.id, BadRequest("").number)]
        assert answers(heard) == [(9, 3, pb.STAGE_HIGH)]
        heard.said.clear()


async def test_a_cancelled_image_gives_its_credit_back_at_once(service: Service, encoded: Encoded) -> None:
    """A device that has all its images in flight may cancel one and send another right behind."""
    heard = Heard()
    credits, replaced = service.settings.credits, 50
    images = [image(number, encoded.layers[0]) for number in range(credits + replaced)]
    cancels = [pb.Upstream(cancel=pb.Cancel(id=number)) for number in range(credits + replaced)]
    script: list[pb.Upstream | asyncio.Event] = [hello("never"), *images[:credits], heard.asked]
    for cancel, another in zip(cancels, images[credits:], strict=False):
        script += [cancel, another]
    await play(service, [*script, *cancels[replaced:]], heard)
    assert pb.Error not in heard.kinds()
    assert service.store.bytes == 0


async def test_the_id_of_a_cancelled_image_may_be_used_again(service: Service, encoded: Encoded) -> None:
    again = [pb.Upstream(cancel=pb.Cancel(id=1)), image(1, encoded.layers[0], promised=2)]
    first = [image(1, encoded.layers[0], promised=2), *chunks(1, encoded.layers[1], 50)[:-1]]
    heard = await play(service, [hello("never"), *first, *again, *chunks(1, encoded.layers[1], 50)])
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
            yield image(taken, b"rubbish")
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
    upload = Upload(service.store, Peer("ann"), 100, 2, 3)
    upload.add(2, 0, b"x" * 60, False)
    assert service.store.bytes == 60
    assert not upload.complete(2)
    upload.add(2, 60, b"y" * 40, True)
    upload.add(3, 0, b"z" * 10, False)
    assert (upload.complete(2), upload.complete(3)) == (True, False)
    assert service.store.bytes == upload.unread == 110
    assert await upload.payloads(2) == (b"x" * 60 + b"y" * 40,)
    assert service.store.bytes == upload.unread == 10
    upload.request(3)
    upload.add(3, 10, b"z", True)
    upload.add(3, 11, b"ignored", True)
    assert await upload.payloads(3) == (b"z" * 11,)
    assert (service.store.bytes, upload.unread) == (0, 7)
    upload.close()
    upload.close()
    assert service.store.bytes == 0


async def test_layers_that_are_complete_survive_a_bad_chunk_of_the_next(service: Service) -> None:
    for layer, offset in ((2, 0), (4, 0), (3, 1)):
        upload = Upload(service.store, Peer("ann"), 100, 2, 4)
        upload.add(2, 0, b"x" * 60, True)
        upload.add(layer, offset, b"y", True)
        assert await upload.payloads(2) == (b"x" * 60,)
        with pytest.raises(BadRequest, match="expected one of layer 3 at 0"):
            await upload.payloads(3)
        upload.close()
    assert service.store.bytes == 0


async def test_an_upload_that_pushes_out_itself_leaves_nothing(service: Service) -> None:
    """Its second layer takes the room of its first; both are given up, and no byte of either is counted on."""
    store = Store(32_000, 30.0, service.metrics)  # 2,000 bytes for unrequested layers of one session
    upload = Upload(store, Peer("ann"), 10_000, 2, 3)
    upload.add(2, 0, b"x" * 1500, True)
    upload.add(3, 0, b"y" * 1500, True)
    assert store.bytes == 0
    with pytest.raises(Overloaded):
        await upload.payloads(2)
    requested = Upload(store, Peer("ann"), 10_000, 2, 3)
    for layer in (2, 3):
        requested.add(layer, 0, b"x" * 900, True)
    requested.request(3)
    assert store.bytes == 1800
    assert await requested.payloads(3) == (b"x" * 900,) * 2
    assert store.bytes == 0


async def test_layers_have_the_room_of_what_was_asked_for_only_if_they_were(service: Service) -> None:
    store = Store(32_000, 30.0, service.metrics)  # one session may have 2,000 bytes unasked, 6,000 on request
    upload = Upload(store, Peer("ann"), 10_000, 2, 3)
    upload.request(2)
    upload.add(2, 0, b"x" * 3000, True)
    assert upload.complete(2)
    upload.add(3, 0, b"y" * 3000, True)
    assert not upload.complete(3)
    assert await upload.payloads(2) == (b"x" * 3000,)
    assert store.bytes == 0
