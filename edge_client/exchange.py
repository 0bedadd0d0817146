"""The messages about one image on a gRPC session, and their times."""

import asyncio

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.encoding import PictureSize
from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.observation import Observation, Reply
from overtone.edge_client.plan import Plan
from overtone.edge_client.stage import Stage
from overtone.edge_client.transport import Upload
from overtone.protos import overtone_pb2 as pb

# The bytes that gRPC and HTTP/2 put in front of a message.
FRAME = 5 + 9


class Exchange:
    """One image: its messages, the replies to them, and the times of both by the event loop's clock.

    Attributes:
        number: its id on the session.
        plan: which layers are sent unasked.
        upload: its payloads; the bytes that are sent are counted there.
        inbox: replies that have not been looked at yet; an error if the session has ended.
        over: whether nothing more is to be sent.
        sent: whether the image has been handed to the transport.
        settled: whether the server has answered, or has refused the image.
        sent_again: whether the server has asked for the image again.
        made: number of layers that are in messages already.
    """

    def __init__(self, number: int, upload: Upload, plan: Plan, pacer: ChunkPacer) -> None:
        self.number = number
        self.plan = plan
        self.upload = upload
        self.inbox: asyncio.Queue[pb.Downstream | OvertoneError] = asyncio.Queue()
        self.over = self.sent = self.settled = self.sent_again = False
        self.made = 0
        self._pacer = pacer
        self._offset = 0  # in the layer after those that are made
        self._ends = [0] * upload.count
        self._sent_bytes = 0
        self._queued = 0.0
        self._replies: list[Reply] = []

    @property
    def count(self) -> int:
        """How many layers the image has, encoded or not."""
        return self.upload.count

    def image(self, layers: int, promised: int = 0) -> pb.Upstream:
        """The message with so many layers; after it, the next layer starts from its beginning."""
        self.made, self._offset = layers, 0
        payloads = self.upload.encoded.layers[:layers]
        image = pb.Image(
            id=self.number, layers=payloads, promised=promised, picture=picture_size(self.upload.picture)
        )
        return pb.Upstream(image=image)

    def chunk(self, size: int) -> pb.Upstream:
        """The message with at most `size` further bytes of the next layer."""
        payload, layer, offset = self.upload.encoded.layers[self.made], self.made + 1, self._offset
        data = payload[offset : offset + size]
        last = offset + len(data) == len(payload)
        self.made, self._offset = (layer, 0) if last else (self.made, offset + len(data))
        return pb.Upstream(
            chunk=pb.Chunk(id=self.number, layer=layer, offset=offset, data=data, last=last),
        )

    def on_sent(self, message: pb.Upstream, now: float) -> None:
        """Record that one of the messages is handed to the transport."""
        size = sum(map(len, message.image.layers)) + len(message.chunk.data)
        self.upload.bytes_sent += size
        self._sent_bytes += size
        link = self._pacer.link
        queued = link.queued_bytes(now)
        end = link.sent(message.ByteSize() + FRAME, now)
        if message.HasField("image"):
            self.sent, self._queued = True, queued
            count = len(message.image.layers)
            self._ends[:count] = [end] * count
        elif message.chunk.last:
            self._ends[message.chunk.layer - 1] = end

    def on_received(self, message: pb.Downstream, now: float) -> None:
        """Record a reply to this image."""
        self.settled = not message.HasField("need_more")
        if not self._replies:
            self._pacer.link.delivered(self._ends[0])
        if not message.HasField("error"):
            wanted = message.answer.layers or message.need_more.layers
            self._replies.append(Reply(now, wanted, self._sent_bytes))
        self.inbox.put_nowait(message)

    def observation(self, stage: Stage, server: float) -> Observation | None:
        """The measurements of this image; None if it was sent twice.

        Args:
            stage: of the answer.
            server: the seconds of queue and compute in the answer.
        """
        if not self._replies or self.sent_again:
            return None
        return Observation(
            plan=self.plan,
            sizes=self.upload.sizes,
            replies=tuple(self._replies),
            ends=tuple(self._ends),
            sent=self._sent_bytes,
            server=server,
            stage=stage,
            queued=self._queued,
        )


def picture_size(picture: PictureSize | None) -> pb.PictureSize | None:
    """The message about the size (width, height) of a picture for a detector."""
    return None if picture is None else pb.PictureSize(width=picture[0], height=picture[1])
