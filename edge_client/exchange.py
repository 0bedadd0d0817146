"""What is said about one image on a session, and when."""

import asyncio

from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.pace import Pace
from overtone.edge_client.policy import Observation, Plan
from overtone.edge_client.stage import Stage
from overtone.edge_client.transport import Upload
from overtone.protos import overtone_pb2 as pb

# What gRPC and HTTP/2 put before a message.
FRAME = 5 + 9


class Exchange:
    """One image: its messages, those that came back, and the times of both by the event loop.

    Args:
        number: its id on the session.
        upload: its payloads; what goes out of them is counted there.
        plan: what is done.
        pace: of the link; it is told what goes out.
    """

    def __init__(self, number: int, upload: Upload, plan: Plan, pace: Pace) -> None:
        self.number = number
        self.plan = plan
        self.inbox: asyncio.Queue[pb.Downstream | OvertoneError] = asyncio.Queue()
        self.over = False
        self.sent_again = False
        # All chunks of high have been made.
        self.whole = False
        self._upload = upload
        self._pace = pace
        self._made = self._sent = 0
        self._low_end = self._high_end = 0
        self._waiting = 0.0
        self._first: float | None = None
        self._last = 0.0
        self._left: int | None = None

    def image(self, *, high_follows: bool) -> pb.Upstream:
        """Low; high begins anew."""
        self._made, self.whole = 0, False
        low = self._upload.encoded.low
        return pb.Upstream(image=pb.Image(id=self.number, low=low, high_follows=high_follows))

    def chunk(self, size: int) -> pb.Upstream:
        """At most `size` further bytes of high."""
        high, offset = self._upload.encoded.high, self._made
        data = high[offset : offset + size]
        self._made += len(data)
        self.whole = self._made >= len(high)
        return pb.Upstream(high=pb.HighChunk(id=self.number, offset=offset, data=data, last=self.whole))

    def goes(self, message: pb.Upstream, now: float) -> None:
        """One of its messages is handed to the transport."""
        self._upload.bytes_sent += len(message.image.low) + len(message.high.data)
        self._sent += len(message.high.data)
        link = self._pace.link
        if message.HasField("image"):
            self._waiting = link.waiting(now)
            self._low_end = link.hand(message.ByteSize() + FRAME, now)
        else:
            self._high_end = link.hand(message.ByteSize() + FRAME, now)

    def hears(self, message: pb.Downstream, now: float) -> None:
        """The server speaks of this image."""
        self._last = now
        if self._first is None:
            self._first = now
            self._pace.link.arrived(self._low_end)
            if message.HasField("need_high"):
                self._left = len(self._upload.encoded.high) - self._made
        self.inbox.put_nowait(message)

    def outcome(self, stage: Stage, server: float) -> Observation | None:
        """What can be learned from it; None if it was sent twice.

        Args:
            stage: of the answer.
            server: seconds of queue and compute.
        """
        if self._first is None or self.sent_again:
            return None
        return Observation(
            plan=self.plan,
            high=len(self._upload.encoded.high),
            sent=self._sent,
            low_end=self._low_end,
            high_end=self._high_end,
            first=self._first,
            last=self._last,
            server=server,
            stage=stage,
            left=self._left,
            waiting=self._waiting,
        )
