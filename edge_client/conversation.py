"""The requests about one image over REST, and what can be learned from them about the link."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.observation import Observation, Reply
from overtone.edge_client.transport import RawAnswer, Upload

IMAGES = "/v1/images"
# Where all layers are there, nothing can be asked for.
AT_ONCE = {"classify": "/v1/classify", "detect": "/v1/detect"}


class Conversation:
    """The requests about one image, and what can be learned from them about the link."""

    def __init__(self, upload: Upload, link: LinkEstimator) -> None:
        self.upload = upload
        self.count = upload.count
        self._link = link
        self._ends = [0] * self.count
        self._replies: list[Reply] = []
        self._sent = 0

    @property
    def sent(self) -> int:
        """How many layers have been sent."""
        return self._sent

    def path(self, layers: int) -> str:
        """Where the first so many layers are posted."""
        return IMAGES if layers < self.count else AT_ONCE[self.upload.task]

    def further(self, token: str) -> str:
        """Where layers are posted that the server asked for."""
        return f"{IMAGES}/{token}/layers"

    def first(self, layers: int) -> Sequence[bytes]:
        """The payloads of so many layers."""
        return self.upload.encoded.layers[:layers]

    def send(self, layers: int) -> Sequence[bytes]:
        """The payloads of the layers up to this number that have not been sent."""
        payloads = self.upload.encoded.layers[self._sent : layers]
        end = self._link.sent(sum(map(len, payloads)), _now())
        self._ends[self._sent : layers] = [end] * len(payloads)
        self._sent = layers
        return payloads

    def asked(self, layers: int) -> None:
        """Record that the server asks for the layers up to this number."""
        self._link.delivered(self._ends[self._sent - 1])
        self._replies.append(Reply(_now(), layers, sum(self.upload.sizes[: self._sent])))

    def answered(self, answer: RawAnswer) -> RawAnswer:
        """The answer with what has been observed."""
        sent = sum(self.upload.sizes[: self._sent])
        observation = Observation(
            plan=self.upload.plan,
            sizes=self.upload.sizes,
            replies=(*self._replies, Reply(_now(), answer.layers, sent)),
            ends=tuple(self._ends),
            sent=sent,
            server=(answer.queue_ms + answer.compute_ms) / 1e3,
            stage=answer.stage,
        )
        return replace(answer, observation=observation)


def _now() -> float:
    return asyncio.get_running_loop().time()
