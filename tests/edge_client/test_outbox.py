"""What is sent, and in which order."""

import asyncio
import contextlib

import pytest

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.outbox import Outbox
from overtone.edge_client.policy import PlanSelector
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb

ENCODED = Encoded(low=b"l" * 900, high=bytes(range(250)) * 4, quality=1)


# Bytes per second of a link that always has room, and of one on which low takes a quarter of an hour.
IDLE, THIN = 1e9, 1.0


class Line:
    """An outbox, and what fills it, over a link of this rate."""

    def __init__(self, rate: float) -> None:
        self.pacer = ChunkPacer(PlanSelector("ahead", link=LinkEstimator(first_rate=rate)))
        self.outbox = Outbox(self.pacer)

    def begin(self, number: int) -> Exchange:
        exchange = Exchange(number, Upload(ENCODED, b"", "ahead"), "ahead", self.pacer)
        self.outbox.put(exchange.image(high_follows=False), exchange)
        self.outbox.put_ahead(exchange)
        return exchange

    async def next(self) -> str:
        """The next message in a word: its kind, its image and, for a chunk, where it begins and ends."""
        message = await self.outbox.take()
        if message.HasField("high"):
            chunk = message.high
            return f"high {chunk.id} {chunk.offset}-{chunk.offset + len(chunk.data)}{'.' * chunk.last}"
        return f"{message.WhichOneof('message')} {message.image.id or message.cancel.id}"

    async def rest(self) -> list[str]:
        """All messages that would be sent now."""
        words = []
        with contextlib.suppress(TimeoutError):
            while True:
                words.append(await asyncio.wait_for(self.next(), 0.05))
        return words


async def test_high_follows_low_in_chunks() -> None:
    line = Line(IDLE)
    line.begin(1)
    assert await line.rest() == [
        "image 1",
        "high 1 0-256",
        "high 1 256-512",
        "high 1 512-768",
        "high 1 768-1000.",
    ]


async def test_what_is_needed_is_sent_before_what_may_be_needed() -> None:
    line = Line(IDLE)
    line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "high 1 0-256"]
    line.begin(2)
    line.outbox.put(pb.Upstream(cancel=pb.Cancel(id=7)))
    assert [await line.next() for _ in range(4)] == [
        "image 2",
        "cancel 7",
        "high 1 256-512",
        "high 1 512-768",
    ]


async def test_high_waits_for_the_link_until_it_is_asked_for() -> None:
    line = Line(THIN)
    exchange = line.begin(1)
    assert await line.rest() == ["image 1"]
    line.outbox.put_high(exchange)
    line.outbox.put_high(exchange)
    assert await line.rest() == ["high 1 0-1000."]


async def test_the_rest_of_high_is_sent_in_one_piece_when_it_is_asked_for() -> None:
    line = Line(IDLE)
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "high 1 0-256"]
    line.outbox.put_high(exchange)
    assert await line.rest() == ["high 1 256-1000."]


async def test_an_answer_stops_high_and_what_was_sent_is_counted() -> None:
    line = Line(IDLE)
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "high 1 0-256"]
    exchange.on_received(pb.Downstream(answer=pb.Answer(id=1)), asyncio.get_running_loop().time())
    exchange.over = True
    assert await line.rest() == []
    seen = exchange.observation("low", 0.01)
    assert seen is not None
    assert (seen.sent, seen.wasted, seen.unsent, seen.queued) == (256, 256, None, 0.0)
    assert exchange.upload.bytes_sent == 900 + 256


async def test_what_is_queued_in_front_of_low_is_observed() -> None:
    line = Line(THIN)
    line.begin(1)
    second = line.begin(2)
    assert await line.rest() == ["image 1", "image 2"]
    second.on_received(pb.Downstream(need_high=pb.NeedHigh(id=2)), asyncio.get_running_loop().time())
    seen = second.observation("high", 0.01)
    assert seen is not None
    assert seen.queued == pytest.approx(900, abs=40)
    assert (seen.unsent, seen.high_end) == (1000, 0)
