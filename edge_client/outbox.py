"""What waits to be written to a session, and in which order."""

import asyncio
import contextlib
from collections import deque

from overtone.edge_client.exchange import Exchange
from overtone.edge_client.pace import LARGEST, Pace
from overtone.protos import overtone_pb2 as pb


class Outbox:
    """First what is needed, in the order it came up; high that nobody has asked for when the link is idle.

    So a chunk sent ahead never keeps another image's low waiting, nor high that was asked for: it takes only
    time that the link has to spare. What is needed keeps its order because answers are wanted in the order of
    the pictures, and because nothing can then be overtaken for ever.

    Args:
        pace: of the link.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._needed: deque[tuple[pb.Upstream, Exchange | None]] = deque()
        self._ahead: deque[Exchange] = deque()
        self._news = asyncio.Event()

    def put(self, message: pb.Upstream, exchange: Exchange | None = None) -> None:
        """A message that is needed, unless its exchange is over when its turn comes."""
        self._needed.append((message, exchange))
        self._news.set()

    def put_high(self, exchange: Exchange) -> None:
        """What has not been sent of high is needed."""
        while not exchange.whole:
            self.put(exchange.chunk(LARGEST), exchange)

    def put_ahead(self, exchange: Exchange) -> None:
        """High may be sent when there is room for it."""
        self._ahead.append(exchange)
        self._news.set()

    async def take(self) -> pb.Upstream:
        """The next message when its time has come; it counts as sent."""
        while True:
            message = self._next_needed() or self._next_ahead()
            if message is not None:
                return message
            self._news.clear()
            pause = self._pace.pause(_now()) if self._ahead else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    def _next_needed(self) -> pb.Upstream | None:
        while self._needed:
            message, exchange = self._needed.popleft()
            if exchange is None:
                return message
            if not exchange.over:
                exchange.goes(message, _now())
                return message
        return None

    def _next_ahead(self) -> pb.Upstream | None:
        while self._ahead and (self._ahead[0].over or self._ahead[0].whole):
            self._ahead.popleft()
        if not self._ahead or self._pace.pause(_now()) > 0:
            return None
        message = self._ahead[0].chunk(self._pace.chunk)
        self._ahead[0].goes(message, _now())
        return message


def _now() -> float:
    return asyncio.get_running_loop().time()
