"""The measurements of one image that was answered: layers, bytes and times."""

from collections.abc import Iterator
from dataclasses import dataclass

from overtone.edge_client.plan import Plan
from overtone.edge_client.stage import Stage


@dataclass(frozen=True)
class Reply:
    """A reply of the server: a request for further layers or, the last one, the answer.

    Attributes:
        at: when it came.
        layers: up to which layer the server asks, or of how many layers the answer is made.
        sent: payload bytes that had been handed to the transport by then.
    """

    at: float
    layers: int
    sent: int


@dataclass(frozen=True)
class Observation:
    """One image that was answered.

    Attributes:
        plan: what was sent unasked.
        sizes: the bytes of each layer.
        replies: what the server replied, in order; the last is the answer.
        ends: for each layer, the offset at which it ends in what was sent over the link; 0 if it was not sent.
        sent: payload bytes that were handed to the transport.
        server: the seconds of queue and compute in the answer, of all networks that ran.
        stage: the stage of the answer.
        queued: the bytes that were queued on the link in front of the image.
    """

    plan: Plan
    sizes: tuple[int, ...]
    replies: tuple[Reply, ...]
    ends: tuple[int, ...]
    sent: int
    server: float
    stage: Stage
    queued: float = 0.0

    @property
    def answered(self) -> int:
        """How many layers the answer is made of."""
        return self.replies[-1].layers

    @property
    def needed(self) -> int:
        """How many layers were needed: those of the answer, or more if the server had asked for more."""
        return max(reply.layers for reply in self.replies)

    @property
    def settled(self) -> bool:
        """Whether the answer tells that no more layers were needed; that of an overloaded server does not."""
        return self.stage != "brownout" and self.answered == self.needed

    @property
    def wasted(self) -> int:
        """Payload bytes of layers that were sent and not needed."""
        return max(0, self.sent - sum(self.sizes[: self.needed]))

    @property
    def judgements(self) -> int:
        """How many times the server judged the image."""
        # Where nothing came unasked, it may have asked for several layers at once, and not judged those between.
        return self.answered if self.plan.unasked > 1 else len(self.replies)

    def trips(self, compute: float, rate: float | None) -> Iterator[tuple[int, float]]:
        """Pairs for the link's estimator: the offset at which a message ends, and its reply's time less server time.

        Args:
            compute: the server's usual seconds for one judgement.
            rate: bytes per second that the link carries, if that is known.
        """
        first, last = self.replies[0], self.replies[-1]
        finish = max(0.0, self.server - compute * (self.judgements - 1))
        if first.layers <= self.plan.together or self._asks_after_the_first_message:
            looked = self.server if first is last else compute * self.plan.together
            yield self.ends[self.plan.together - 1], first.at - looked
        elif first is last and self._waited_for_the_link(compute, rate):
            yield self.ends[self.answered - 1], last.at - finish
        for asked, reply in zip(self.replies, self.replies[1:], strict=False):
            # Otherwise all that the server asked for was on its way already, nobody knows since when.
            if asked.sent < sum(self.sizes[: asked.layers]) and reply.layers >= asked.layers:
                yield self.ends[asked.layers - 1], reply.at - (finish if reply is last else compute)

    @property
    def _follows(self) -> bool:
        return self.plan.unasked > self.plan.together

    @property
    def _asks_after_the_first_message(self) -> bool:
        """Whether the first reply asks for more of what the first message did not hold.

        Where layers were sent ahead, the server may have waited for some of them before it asked.
        """
        after = self.replies[0].layers - self.plan.together
        return len(self.replies) > 1 and (after == 1 or not self._follows)

    def _waited_for_the_link(self, compute: float, rate: float | None) -> bool:
        """Whether the last layer took longer to arrive than the one before it to compute."""
        return rate is None or self.sizes[self.answered - 1] / rate >= compute
