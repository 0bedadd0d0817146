"""The requests about one image over REST, and the times and bytes that tell about the link."""

from collections.abc import Sequence
from dataclasses import replace

from overtone.edge_client.clock import loop_time
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.observation import Observation, Reply
from overtone.edge_client.transport import RawAnswer, Upload

IMAGES = "/v1/images"
# Paths for images that are sent with all their layers, so that the server can ask for none.
AT_ONCE = {"classify": "/v1/classify", "detect": "/v1/detect"}


class Conversation:
    """Counts the layers of one image that are sent, and records replies for the link's estimator."""

    def __init__(self, upload: Upload, link: LinkEstimator) -> None:
        self.upload = upload
        self.count = upload.count
        self._link = link
        self._ends = [0] * self.count
        self._replies: list[Reply] = []
        self._sent = 0

    @property
    def sent(self) -> int:
        """The number of layers that have been sent."""
        return self._sent

    def path(self, layers: int) -> str:
        """The path that the first `layers` layers are posted to."""
        return IMAGES if layers < self.count else AT_ONCE[self.upload.task]

    def further(self, token: str) -> str:
        """The path that layers are posted to which the server asked for."""
        return f"{IMAGES}/{token}/layers"

    def first(self, layers: int) -> Sequence[bytes]:
        """The payloads of the first `layers` layers."""
        return self.upload.encoded.layers[:layers]

    def send(self, layers: int) -> Sequence[bytes]:
        """The payloads of the layers up to this number that have not been sent, which are now recorded as sent."""
        payloads = self.upload.encoded.layers[self._sent : layers]
        end = self._link.sent(sum(map(len, payloads)), loop_time())
        self._ends[self._sent : layers] = [end] * len(payloads)
        self._sent = layers
        return payloads

    def asked(self, layers: int) -> None:
        """Record that the server asks for the layers up to this number."""
        self._link.delivered(self._ends[self._sent - 1])
        self._replies.append(Reply(loop_time(), layers, sum(self.upload.sizes[: self._sent])))

    def answered(self, answer: RawAnswer) -> RawAnswer:
        """The answer with the observation of the whole conversation."""
        sent = sum(self.upload.sizes[: self._sent])
        observation = Observation(
            plan=self.upload.plan,
            sizes=self.upload.sizes,
            replies=(*self._replies, Reply(loop_time(), answer.layers, sent)),
            ends=tuple(self._ends),
            sent=sent,
            server=(answer.queue_ms + answer.compute_ms) / 1e3,
            stage=answer.stage,
        )
        return replace(answer, observation=observation)
