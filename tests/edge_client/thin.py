"""A server behind a thin link for the client's own session, on a virtual clock: no socket, no network."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.exchange import FRAME
from overtone.edge_client.observation import Observation
from overtone.edge_client.plan import Policy
from overtone.edge_client.policy import PlanSelector
from overtone.edge_client.session import Session
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.simulated import SimulatedImage
from tests.link.virtual import virtually


@dataclass
class Seen:
    """An image as the server sees it: layers that are there, bytes of the next one, and layers it has looked at."""

    image: SimulatedImage
    promised: int
    known: int
    partial: int = 0
    looked: int = 0
    looking: bool = False


@dataclass
class ThinLink:
    """The stub of a server behind a link of `rate` bytes per second upwards and a round trip of `rtt` seconds.

    The link is first in, first out. The server judges an image after each layer, in `compute` seconds. `images`, in the
    order in which they are sent, say how many layers they need.
    """

    rate: float
    rtt: float
    compute: float
    images: Sequence[SimulatedImage]
    sent: int = 0
    free: float = 0.0
    seen: dict[int, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._down: asyncio.Queue[pb.Downstream] = asyncio.Queue()

    def Session(self, metadata: Any) -> "ThinLink":  # noqa: N802 - as the generated stub has it
        return self

    async def write(self, message: pb.Upstream) -> None:
        if message.HasField("hello"):
            self._down.put_nowait(pb.Downstream(welcome=pb.Welcome(credits=16)))
            return
        loop = asyncio.get_running_loop()
        size = message.ByteSize() + FRAME
        self.sent += size
        self.free = max(loop.time(), self.free) + size / self.rate
        loop.call_at(self.free + self.rtt / 2, self._arrives, message)

    async def read(self) -> pb.Downstream:
        return await self._down.get()

    def cancel(self) -> None: ...

    async def probe(self) -> None:
        """The link is alive."""

    def _arrives(self, message: pb.Upstream) -> None:
        if message.HasField("image"):
            number = message.image.id
            image = self.images[number - 1]
            self.seen[number] = Seen(image, message.image.promised, len(message.image.layers))
            self._look(number)
        elif message.HasField("chunk"):
            number, seen = message.chunk.id, self.seen[message.chunk.id]
            assert (message.chunk.layer, message.chunk.offset) == (seen.known + 1, seen.partial)
            seen.partial += len(message.chunk.data)
            if message.chunk.last:
                seen.known, seen.partial = seen.known + 1, 0
                self._look(number)

    def _look(self, number: int) -> None:
        seen = self.seen[number]
        if not seen.looking and seen.looked < min(seen.known, seen.image.needs):
            seen.looking, seen.looked = True, seen.looked + 1
            self._after(self.compute, self._looked, number)

    def _looked(self, number: int) -> None:
        seen = self.seen[number]
        seen.looking = False
        if seen.looked >= seen.image.needs:
            self._say(answer=self._answer(number, seen))
        elif seen.known == seen.looked and seen.promised <= seen.known:
            self._say(need_more=pb.NeedMore(id=number, layers=seen.known + 1))
        self._look(number)

    def _answer(self, number: int, seen: Seen) -> pb.Answer:
        micro, stage = round(1e6 * self.compute * seen.looked), pb.STAGE_LOW
        top = [pb.Score(index=0)]
        return pb.Answer(
            id=number, stage=stage, layers=seen.looked, confident=True, compute_us=micro, top=top
        )

    def _say(self, **message: Any) -> None:
        self._after(self.rtt / 2, self._down.put_nowait, pb.Downstream(**message))

    def _after(self, seconds: float, do: Any, *what: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, do, *what)


def _never(session: Session) -> None:
    raise AssertionError("the session was taken for dead")


@dataclass(frozen=True)
class Streamed:
    """How a stream of images went: the seconds of all and of each, and what was observed and learned."""

    seconds: float
    each: list[float]
    observations: list[Observation]
    selector: PlanSelector

    @property
    def sent(self) -> int:
        """Bytes of payloads."""
        return sum(seen.sent for seen in self.observations)

    @property
    def wasted(self) -> int:
        """Bytes that were not needed."""
        return sum(seen.wasted for seen in self.observations)


def streamed(
    policy: Policy, rate: float, rtt: float, compute: float, images: Sequence[SimulatedImage], in_flight: int
) -> Streamed:
    """Send images through a session, `in_flight` at a time, in their order."""

    async def main() -> Streamed:
        selector = PlanSelector(policy, exit_share=sum(image.needs == 1 for image in images) / len(images))
        line = ThinLink(rate, rtt, compute, images)
        session = await Session.open(line, (), pb.Hello(), ChunkPacer(selector), line.probe, _never)
        todo, loop = iter(images), asyncio.get_running_loop()
        each: list[float] = []
        observations: list[Observation] = []

        async def one_after_another() -> None:
            for image in todo:
                plan, begun = selector.plan(image.sizes), loop.time()
                upload = Upload(Encoded(tuple(map(bytes, image.sizes)), 1), b"", plan)
                answer = await session.send(upload, plan)
                each.append(loop.time() - begun)
                assert answer.observation is not None
                selector.observe(answer.observation)
                observations.append(answer.observation)

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        seconds = loop.time()
        await session.close(0.0)
        return Streamed(seconds, each, observations, selector)

    return virtually(main())
