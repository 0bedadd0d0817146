"""What judges an image of those that name a model: the version that is served, or one that is tried."""

import random
from dataclasses import dataclass

from overtone.gpu_server.core import Core


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """The versions of one model that an image may be judged by.

    Attributes:
        served: the one that was named, or the highest.
        canary: one that gets a share of what names no version.
        share: from 0 to 1.
    """

    served: Core
    canary: Core | None = None
    share: float = 0.0

    def pick(self, profile: bytes | None) -> Core:
        """The version for a new session or request.

        `profile` is the id of that for which its device encodes: empty if it has none yet, None for a picture. The
        canary gets nothing that it cannot read, and everything that only it can read.
        """
        canary = self.canary
        if canary is None or canary.failure:
            return self.served
        if not profile or canary.profile.id == self.served.profile.id:
            return canary if random.random() < self.share else self.served
        return canary if profile == canary.profile.id else self.served
