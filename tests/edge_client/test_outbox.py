"""What is sent, and in which order."""

import asyncio
import contextlib

import pytest

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.outbox import Outbox
from overtone.edge_client.plan import ahead
from overtone.edge_client.policy import PlanSelector
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb

ENCODED = Encoded((b"l" * 900, bytes(range(250)) * 4, b"h" * 300), quality=1)


# Bytes per second of a link that always has room, and of one on which the first layer takes a quarter of an hour.
IDLE, THIN = 1e9, 1.0


class Line:
    """An outbox, and what fills it, over a link of this rate."""

    def __init__(self, rate: float) -> None:
        self.pacer = ChunkPacer(PlanSelector("ahead", link=LinkEstimator(first_rate=rate)))
        self.outbox = Outbox(self.pacer)

    def begin(self, number: int) -> Exchange:
        exchange = Exchange(number, Upload(ENCODED, b"", ahead(3)), ahead(3), self.pacer)
        self.outbox.put(exchange.image(1), exchange)
        self.outbox.put_ahead(exchange)
        return exchange

    async def next(self) -> str:
        """The next message in a word: its kind, its image and, for a chunk, where it begins and ends."""
        message = await self.outbox.take()
        if message.HasField("chunk"):
            chunk = message.chunk
            part = f"{chunk.offset}-{chunk.offset + len(chunk.data)}{'.' * chunk.last}"
            return f"{chunk.id} layer {chunk.layer} {part}"
        return f"{message.WhichOneof('message')} {message.image.id or message.cancel.id}"

    async def rest(self) -> list[str]:
        """All messages that would be sent now."""
        words = []
        with contextlib.suppress(TimeoutError):
            while True:
                words.append(await asyncio.wait_for(self.next(), 0.05))
        return words


async def test_layers_follow_in_order_and_in_chunks() -> None:
    line = Line(IDLE)
    line.begin(1)
    assert await line.rest() == [
        "image 1",
        "1 layer 2 0-256",
        "1 layer 2 256-512",
        "1 layer 2 512-768",
        "1 layer 2 768-1000.",
        "1 layer 3 0-256",
        "1 layer 3 256-300.",
    ]


async def test_what_is_needed_is_sent_before_what_may_be_needed() -> None:
    line = Line(IDLE)
    line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "1 layer 2 0-256"]
    line.begin(2)
    line.outbox.put(pb.Upstream(cancel=pb.Cancel(id=7)))
    assert [await line.next() for _ in range(4)] == [
        "image 2",
        "cancel 7",
        "1 layer 2 256-512",
        "1 layer 2 512-768",
    ]


async def test_a_layer_waits_for_the_link_until_it_is_asked_for() -> None:
    line = Line(THIN)
    exchange = line.begin(1)
    assert await line.rest() == ["image 1"]
    line.outbox.put_layers(exchange, 2)
    line.outbox.put_layers(exchange, 2)
    assert await line.rest() == ["1 layer 2 0-1000."]
    line.outbox.put_layers(exchange, 3)
    assert await line.rest() == ["1 layer 3 0-300."]


async def test_the_rest_of_a_layer_is_sent_in_one_piece_when_it_is_asked_for() -> None:
    line = Line(IDLE)
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "1 layer 2 0-256"]
    line.outbox.put_layers(exchange, 3)
    assert await line.rest() == ["1 layer 2 256-1000.", "1 layer 3 0-300."]


async def test_an_answer_stops_what_follows_and_what_was_sent_is_counted() -> None:
    line = Line(IDLE)
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "1 layer 2 0-256"]
    exchange.on_received(pb.Downstream(answer=pb.Answer(id=1, layers=1)), asyncio.get_running_loop().time())
    exchange.over = True
    assert await line.rest() == []
    seen = exchange.observation("low", 0.01)
    assert seen is not None
    assert (seen.sent, seen.wasted, seen.answered, seen.queued) == (900 + 256, 256, 1, 0.0)
    assert seen.ends[0] > 900 > seen.ends[1] == seen.ends[2] == 0
    assert exchange.upload.bytes_sent == 900 + 256


async def test_what_is_queued_in_front_of_an_image_is_observed() -> None:
    line = Line(THIN)
    line.begin(1)
    second = line.begin(2)
    assert await line.rest() == ["image 1", "image 2"]
    second.on_received(
        pb.Downstream(need_more=pb.NeedMore(id=2, layers=2)), asyncio.get_running_loop().time()
    )
    seen = second.observation("high", 0.01)
    assert seen is not None
    assert seen.queued == pytest.approx(900, abs=40)
    assert (seen.replies[0].layers, seen.replies[0].sent, seen.ends[1]) == (2, 900, 0)
