"""What the client needs of a transport: it takes payloads to a server and brings back the answer."""

from dataclasses import dataclass
from typing import Any, Protocol

from overtone.edge_client.address import Address, Tls
from overtone.edge_client.observation import Observation
from overtone.edge_client.plan import Plan
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.stage import Stage
from overtone.frequency import Encoded, Profile


@dataclass(frozen=True)
class ClientConfig:
    """What holds for all images of a client; `AsyncClient` explains the options."""

    address: Address
    token: str | None = None
    tls: Tls | None = None
    operating_point: str = ""
    top: int = 1
    timeout: float = 10.0


@dataclass
class Upload:
    """One image to be sent: its payloads, its plan, its time limit in seconds, and the bytes sent so far."""

    encoded: Encoded
    profile_id: bytes
    plan: Plan
    time_limit: float = 10.0
    bytes_sent: int = 0


@dataclass(frozen=True)
class RawAnswer:
    """The server's answer, before the client has looked up the labels.

    `top` holds class indices and probabilities, best first; `layers` is how many the answer is made of. There is no
    observation if something was sent twice.
    """

    top: tuple[tuple[int, float], ...]
    stage: Stage
    layers: int
    confident: bool
    queue_ms: float
    compute_ms: float
    model: str
    observation: Observation | None = None


class Transport(Protocol):
    """A connection to a server. It raises `OvertoneError`s; keeping the deadline is left to the caller."""

    @property
    def credits(self) -> int:
        """How many images may be in flight."""

    async def profile(self, known: ProfileCache, *, fresh: bool = False) -> Profile:
        """The server's profile, from the cache if it is there and need not be fresh."""

    @property
    def known_card(self) -> dict[str, Any] | None:
        """The card, if it has come along with something else."""

    async def card(self) -> dict[str, Any]:
        """The card of the server's model."""

    async def classify(self, upload: Upload) -> RawAnswer:
        """Send an image, and layers when they are asked for; if the connection is lost, once more on another."""

    async def close(self) -> None:
        """Close the connection, within a second or two."""
