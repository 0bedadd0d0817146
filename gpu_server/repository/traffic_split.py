"""The split of one model's traffic between the version that is served and a canary."""

import random
from dataclasses import dataclass

from overtone.gpu_server.core import Core


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """The versions among which the sessions and requests for one name are split.

    Attributes:
        served: the version that was named, or the highest.
        canary: a version that gets a share of those that name no version; None if there is none.
        share: the canary's share, from 0 to 1.
    """

    served: Core
    canary: Core | None = None
    share: float = 0.0

    def pick(self, profile: bytes | None) -> Core:
        """Pick the version for a new session or request.

        The canary gets nothing that it cannot decode, and everything that it alone can decode.

        Args:
            profile: the id of the profile for which the device encodes: empty if it has none yet, None for a picture.
        """
        canary = self.canary
        if canary is None or canary.failure:
            return self.served
        if not profile or canary.profile.id == self.served.profile.id:
            return canary if random.random() < self.share else self.served
        return canary if profile == canary.profile.id else self.served
