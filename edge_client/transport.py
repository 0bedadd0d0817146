"""What a transport is to the client: it brings payloads to a server and its reply back."""

from dataclasses import dataclass
from typing import Any, Protocol

from overtone.edge_client.address import Address, Tls
from overtone.edge_client.policy import Observation, Plan
from overtone.edge_client.profiles import Profiles
from overtone.edge_client.stage import Stage
from overtone.frequency import Encoded, Profile


@dataclass(frozen=True)
class Setup:
    """Everything that holds for all images of a client."""

    address: Address
    token: str | None = None
    tls: Tls | None = None
    operating_point: str = ""
    top: int = 1
    timeout: float = 10.0


@dataclass
class Upload:
    """One image on its way, and the payload bytes it has cost so far."""

    encoded: Encoded
    profile_id: bytes
    plan: Plan
    bytes_sent: int = 0


@dataclass(frozen=True)
class Reply:
    """The server's answer.

    Attributes:
        top: class indices and probabilities, best first.
        stage: which network it comes from.
        confident: whether it meets the threshold.
        queue_ms: the server's own time, waiting.
        compute_ms: and computing.
        model: the model's name.
        outcome: what can be learned from how it went; None if something was sent twice.
    """

    top: tuple[tuple[int, float], ...]
    stage: Stage
    confident: bool
    queue_ms: float
    compute_ms: float
    model: str
    outcome: Observation | None = None


class Transport(Protocol):
    """A way to a server. What it raises is of `OvertoneError`; deadlines are its caller's."""

    @property
    def credits(self) -> int:
        """How many images may be in flight."""

    async def profile(self, known: Profiles, *, fresh: bool = False) -> Profile:
        """The served profile, from `known` where the server names one of those, unless it must be fresh."""

    @property
    def known_card(self) -> dict[str, Any] | None:
        """The card, if it has come along with something else."""

    async def card(self) -> dict[str, Any]:
        """The card of the served model."""

    async def classify(self, upload: Upload) -> Reply:
        """Send an image, and more of it when asked; survives the loss of one connection."""

    async def close(self) -> None:
        """Say goodbye, within a second or two."""
