"""A server behind a thin link for the client's own session, on a virtual clock: no socket, no network."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overtone.edge_client.exchange import FRAME
from overtone.edge_client.pace import Pace
from overtone.edge_client.policy import Chooser, Observation, Policy
from overtone.edge_client.session import Session
from overtone.edge_client.transport import Upload
from overtone.frequency import Encoded
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.simulated import Picture
from tests.link.virtual import virtually


@dataclass
class ThinLink:
    """`rate` bytes a second upwards, first in first out, and `rtt` seconds; `compute` for either network.

    Stands for the stub of a server; images escalate as `pictures` have it, in the order they are sent.
    """

    rate: float
    rtt: float
    compute: float
    pictures: Sequence[Picture]
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

    def _arrives(self, message: pb.Upstream) -> None:
        now = asyncio.get_running_loop().time()
        if message.HasField("image"):
            self.low_done[message.image.id] = now + self.compute
            self._after(self.compute, self._low, message.image)
        elif message.HasField("high"):
            number = message.high.id
            self.came[number] = self.came.get(number, 0) + len(message.high.data)
            self._high(number)

    def _low(self, image: pb.Image) -> None:
        picture = self.pictures[image.id - 1]
        if not picture.escalates:
            self._say(answer=self._answer(image.id, pb.STAGE_LOW, 1))
        elif self.came.get(image.id, 0) < picture.high and not image.high_follows:
            self._say(need_high=pb.NeedHigh(id=image.id))
        self._high(image.id)

    def _high(self, number: int) -> None:
        picture, now = self.pictures[number - 1], asyncio.get_running_loop().time()
        if not picture.escalates or self.came.get(number, 0) < picture.high or number in self.done:
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


@dataclass(frozen=True)
class Streamed:
    """How a stream of pictures went: seconds in all and of each, and what the chooser has learned."""

    seconds: float
    each: list[float]
    outcomes: list[Observation]
    chooser: Chooser

    @property
    def wasted(self) -> int:
        """Bytes of high sent for nothing."""
        return sum(outcome.wasted for outcome in self.outcomes)


def streamed(
    policy: Policy, rate: float, rtt: float, compute: float, pictures: Sequence[Picture], in_flight: int
) -> Streamed:
    """Pictures through a session, `in_flight` at a time, in their order."""

    async def main() -> Streamed:
        chooser = Chooser(policy, exit_share=1 - sum(p.escalates for p in pictures) / len(pictures))
        line = ThinLink(rate, rtt, compute, pictures)
        session = await Session.open(line, (), pb.Hello(), Pace(chooser))
        todo, loop = iter(pictures), asyncio.get_running_loop()
        each: list[float] = []
        outcomes: list[Observation] = []

        async def one_after_another() -> None:
            for picture in todo:
                plan, begun = chooser.plan(picture.low, picture.high), loop.time()
                upload = Upload(Encoded(bytes(picture.low), bytes(picture.high), 1), b"", plan)
                reply = await session.classify(upload, plan)
                each.append(loop.time() - begun)
                assert reply.outcome is not None
                chooser.observe(reply.outcome)
                outcomes.append(reply.outcome)

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        seconds = loop.time()
        await session.close(0.0)
        return Streamed(seconds, each, outcomes, chooser)

    return virtually(main())
