"""The messages that wait to be written to a session, and their order."""

import asyncio
import contextlib
from collections import deque

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.clock import loop_time
from overtone.edge_client.exchange import Exchange
from overtone.edge_client.policy import LARGEST_CHUNK
from overtone.protos import overtone_pb2 as pb


class Outbox:
    """Messages that are needed go first, in their order; chunks that nobody asked for go when the link is idle.

    A chunk sent ahead therefore never delays another image, nor layers that were asked for. The needed messages
    keep their order because answers are wanted in the order of the images, and so that none of them can be
    overtaken for ever.
    """

    def __init__(self, pacer: ChunkPacer) -> None:
        self._pacer = pacer
        self._needed: deque[tuple[pb.Upstream, Exchange | None]] = deque()
        self._ahead: deque[Exchange] = deque()
        self._changed = asyncio.Event()

    def put(self, message: pb.Upstream, exchange: Exchange | None = None) -> None:
        """Add a message that is needed; it is dropped if its exchange is over by the time it could be sent."""
        self._needed.append((message, exchange))
        self._changed.set()

    def put_layers(self, exchange: Exchange, layers: int) -> None:
        """Add what is still to be sent of the layers up to this number, which are needed."""
        while exchange.made < layers:
            self.put(exchange.chunk(LARGEST_CHUNK), exchange)

    def put_ahead(self, exchange: Exchange) -> None:
        """Allow the layers that its plan lets follow to be sent when the link has room for them."""
        self._ahead.append(exchange)
        self._changed.set()

    async def take(self) -> pb.Upstream:
        """Wait for the next message that is to be sent; its exchange is told that it is."""
        while True:
            message = self._next_needed() or self._next_ahead()
            if message is not None:
                return message
            self._changed.clear()
            pause = self._pacer.pause(loop_time()) if self._ahead else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def _next_needed(self) -> pb.Upstream | None:
        while self._needed:
            message, exchange = self._needed.popleft()
            if exchange is None:
                return message
            if not exchange.over:
                exchange.on_sent(message, loop_time())
                return message
        return None

    def _next_ahead(self) -> pb.Upstream | None:
        while self._ahead and (self._ahead[0].over or self._ahead[0].made >= self._ahead[0].plan.unasked):
            self._ahead.popleft()
        if not self._ahead or self._pacer.pause(loop_time()) > 0:
            return None
        message = self._ahead[0].chunk(self._pacer.chunk)
        self._ahead[0].on_sent(message, loop_time())
        return message
