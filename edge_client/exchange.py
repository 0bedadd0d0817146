"""The messages about one image on a session, and their times."""

import asyncio

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.policy import Observation, Plan
from overtone.edge_client.stage import Stage
from overtone.edge_client.transport import Upload
from overtone.protos import overtone_pb2 as pb

# The bytes that gRPC and HTTP/2 put in front of a message.
FRAME = 5 + 9


class Exchange:
    """One image: its messages, the replies to them, and the times of both by the event loop's clock.

    Attributes:
        number: its id on the session.
        plan: when high is sent.
        upload: its payloads; the bytes that are sent are counted there.
        inbox: replies that have not been looked at yet; an error if the session has ended.
        over: whether nothing more is to be sent.
        sent: whether the image has been handed to the transport.
        settled: whether the server has answered, or has refused the image.
        sent_again: whether the server has asked for both payloads.
        high_made: whether all chunks of high have been made.
    """

    def __init__(self, number: int, upload: Upload, plan: Plan, pacer: ChunkPacer) -> None:
        self.number = number
        self.plan = plan
        self.upload = upload
        self.inbox: asyncio.Queue[pb.Downstream | OvertoneError] = asyncio.Queue()
        self.over = self.sent = self.settled = self.sent_again = self.high_made = False
        self._pacer = pacer
        self._made = self._high_sent = 0
        self._low_end = self._high_end = 0
        self._queued = 0.0
        self._first: float | None = None
        self._last = 0.0
        self._unsent: int | None = None

    def image(self, *, high_follows: bool) -> pb.Upstream:
        """The message with low; after it, high starts from its beginning."""
        self._made, self.high_made = 0, False
        low = self.upload.encoded.low
        return pb.Upstream(image=pb.Image(id=self.number, low=low, high_follows=high_follows))

    def chunk(self, size: int) -> pb.Upstream:
        """The message with at most `size` further bytes of high."""
        high, offset = self.upload.encoded.high, self._made
        data = high[offset : offset + size]
        self._made += len(data)
        self.high_made = self._made >= len(high)
        return pb.Upstream(high=pb.HighChunk(id=self.number, offset=offset, data=data, last=self.high_made))

    def on_sent(self, message: pb.Upstream, now: float) -> None:
        """Record that one of the messages is handed to the transport."""
        self.upload.bytes_sent += len(message.image.low) + len(message.high.data)
        self._high_sent += len(message.high.data)
        link = self._pacer.link
        if message.HasField("image"):
            self.sent = True
            self._queued = link.queued_bytes(now)
            self._low_end = link.sent(message.ByteSize() + FRAME, now)
        else:
            self._high_end = link.sent(message.ByteSize() + FRAME, now)

    def on_received(self, message: pb.Downstream, now: float) -> None:
        """Record a reply to this image."""
        self._last = now
        self.settled = not message.HasField("need_high")
        if self._first is None:
            self._first = now
            self._pacer.link.delivered(self._low_end)
            if message.HasField("need_high"):
                self._unsent = len(self.upload.encoded.high) - self._made
        self.inbox.put_nowait(message)

    def observation(self, stage: Stage, server: float) -> Observation | None:
        """What can be learned from this image; None if it was sent twice.

        `stage` and `server`, the seconds of queue and compute, are those of the answer.
        """
        if self._first is None or self.sent_again:
            return None
        return Observation(
            plan=self.plan,
            high=len(self.upload.encoded.high),
            sent=self._high_sent,
            low_end=self._low_end,
            high_end=self._high_end,
            first=self._first,
            last=self._last,
            server=server,
            stage=stage,
            unsent=self._unsent,
            queued=self._queued,
        )
