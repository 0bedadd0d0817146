"""What goes out, and in which order."""

import asyncio
import contextlib

import pytest

from overtone.edge_client import link as links
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.outbox import Outbox
from overtone.edge_client.pace import Pace
from overtone.edge_client.policy import Chooser
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb

ENCODED = Encoded(low=b"l" * 900, high=bytes(range(250)) * 4, quality=1)


class Line:
    """An outbox and the exchanges it is filled with."""

    def __init__(self) -> None:
        self.pace = Pace(Chooser("ahead"))
        self.outbox = Outbox(self.pace)

    def begin(self, number: int) -> Exchange:
        exchange = Exchange(number, Upload(ENCODED, b"", "ahead"), "ahead", self.pace)
        self.outbox.put(exchange.image(high_follows=False), exchange)
        self.outbox.put_ahead(exchange)
        return exchange

    async def next(self) -> str:
        """The next message in a word: its kind, its image and, of a chunk, where it begins and ends."""
        message = await self.outbox.take()
        if message.HasField("high"):
            chunk = message.high
            return f"high {chunk.id} {chunk.offset}-{chunk.offset + len(chunk.data)}{'.' * chunk.last}"
        return f"{message.WhichOneof('message')} {message.image.id or message.cancel.id}"

    async def rest(self) -> list[str]:
        """All that would go out now."""
        words = []
        with contextlib.suppress(TimeoutError):
            while True:
                words.append(await asyncio.wait_for(self.next(), 0.05))
        return words


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that always has room."""
    monkeypatch.setattr(links, "FIRST_RATE", 1e9)


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link on which a low payload takes a quarter of an hour."""
    monkeypatch.setattr(links, "FIRST_RATE", 1.0)


@pytest.mark.usefixtures("idle")
async def test_high_follows_low_in_chunks() -> None:
    line = Line()
    line.begin(1)
    assert await line.rest() == [
        "image 1",
        "high 1 0-256",
        "high 1 256-512",
        "high 1 512-768",
        "high 1 768-1000.",
    ]


@pytest.mark.usefixtures("idle")
async def test_what_is_needed_goes_before_what_may_be() -> None:
    line = Line()
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


@pytest.mark.usefixtures("thin")
async def test_nothing_goes_ahead_of_its_time_until_it_is_asked_for() -> None:
    line = Line()
    exchange = line.begin(1)
    assert await line.rest() == ["image 1"]
    line.outbox.put_high(exchange)
    line.outbox.put_high(exchange)
    assert await line.rest() == ["high 1 0-1000."]


@pytest.mark.usefixtures("idle")
async def test_asked_for_in_the_middle_the_rest_goes_in_one_piece() -> None:
    line = Line()
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "high 1 0-256"]
    line.outbox.put_high(exchange)
    assert await line.rest() == ["high 1 256-1000."]


@pytest.mark.usefixtures("idle")
async def test_an_answer_stops_it_and_what_went_out_is_counted() -> None:
    line = Line()
    exchange = line.begin(1)
    assert [await line.next(), await line.next()] == ["image 1", "high 1 0-256"]
    exchange.hears(pb.Downstream(answer=pb.Answer(id=1)), asyncio.get_running_loop().time())
    exchange.over = True
    assert await line.rest() == []
    outcome = exchange.outcome("low", 0.01)
    assert outcome is not None
    assert (outcome.sent, outcome.wasted, outcome.left, outcome.waiting) == (256, 256, None, 0.0)
    assert exchange._upload.bytes_sent == 900 + 256


@pytest.mark.usefixtures("thin")
async def test_what_stands_before_low_is_told() -> None:
    line = Line()
    line.begin(1)
    second = line.begin(2)
    assert await line.rest() == ["image 1", "image 2"]
    second.hears(pb.Downstream(need_high=pb.NeedHigh(id=2)), asyncio.get_running_loop().time())
    outcome = second.outcome("high", 0.01)
    assert outcome is not None
    assert outcome.waiting == pytest.approx(900, abs=40)
    assert (outcome.left, outcome.high_end) == (1000, 0)
