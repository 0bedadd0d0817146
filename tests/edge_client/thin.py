"""A server behind a thin link for the client's own session, on a virtual clock: no socket, no network."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.exchange import FRAME
from overtone.edge_client.policy import Observation, PlanSelector, Policy
from overtone.edge_client.session import Session
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.simulated import SimulatedImage
from tests.link.virtual import virtually


@dataclass
class ThinLink:
    """The stub of a server behind a link of `rate` bytes per second upwards and a round trip of `rtt` seconds.

    The link is first in, first out. Either network takes `compute` seconds. `images`, in the order in which they are
    sent, say which of them escalate.
    """

    rate: float
    rtt: float
    compute: float
    images: Sequence[SimulatedImage]
    sent: int = 0
    free: float = 0.0
    came: dict[int, int] = field(default_factory=dict)
    low_done: dict[int, float] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)

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
        now = asyncio.get_running_loop().time()
        if message.HasField("image"):
            self.low_done[message.image.id] = now + self.compute
            self._after(self.compute, self._low, message.image)
        elif message.HasField("high"):
            number = message.high.id
            self.came[number] = self.came.get(number, 0) + len(message.high.data)
            self._high(number)

    def _low(self, message: pb.Image) -> None:
        image = self.images[message.id - 1]
        if not image.escalates:
            self._say(answer=self._answer(message.id, pb.STAGE_LOW, 1))
        elif self.came.get(message.id, 0) < image.high and not message.high_follows:
            self._say(need_high=pb.NeedHigh(id=message.id))
        self._high(message.id)

    def _high(self, number: int) -> None:
        image, now = self.images[number - 1], asyncio.get_running_loop().time()
        if not image.escalates or self.came.get(number, 0) < image.high or number in self.done:
            return
        if number in self.low_done and self.low_done[number] <= now:
            self.done.add(number)
            self._after(self.compute, self._say_high, number)

    def _say_high(self, number: int) -> None:
        self._say(answer=self._answer(number, pb.STAGE_HIGH, 2))

    def _answer(self, number: int, stage: Any, networks: int) -> pb.Answer:
        micro = round(1e6 * self.compute * networks)
        return pb.Answer(id=number, stage=stage, confident=True, compute_us=micro, top=[pb.Score(index=0)])

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
    def wasted(self) -> int:
        """Bytes of high that were not needed."""
        return sum(seen.wasted for seen in self.observations)


def streamed(
    policy: Policy, rate: float, rtt: float, compute: float, images: Sequence[SimulatedImage], in_flight: int
) -> Streamed:
    """Send images through a session, `in_flight` at a time, in their order."""

    async def main() -> Streamed:
        selector = PlanSelector(policy, exit_share=1 - sum(p.escalates for p in images) / len(images))
        line = ThinLink(rate, rtt, compute, images)
        session = await Session.open(line, (), pb.Hello(), ChunkPacer(selector), line.probe, _never)
        todo, loop = iter(images), asyncio.get_running_loop()
        each: list[float] = []
        observations: list[Observation] = []

        async def one_after_another() -> None:
            for image in todo:
                plan, begun = selector.plan(image.low, image.high), loop.time()
                upload = Upload(Encoded(bytes(image.low), bytes(image.high), 1), b"", plan)
                answer = await session.classify(upload, plan)
                each.append(loop.time() - begun)
                assert answer.observation is not None
                selector.observe(answer.observation)
                observations.append(answer.observation)

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        seconds = loop.time()
        await session.close(0.0)
        return Streamed(seconds, each, observations, selector)

    return virtually(main())
