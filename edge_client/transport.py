"""The interface of transports, which take payloads to a server and bring back the answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from overtone.edge_client.address import Address, Tls
from overtone.edge_client.answer import Score
from overtone.edge_client.detection import Detection
from overtone.edge_client.encoding import PictureSize
from overtone.edge_client.errors import ProtocolError, UnknownModel, WrongTask
from overtone.edge_client.observation import Observation
from overtone.edge_client.plan import Plan
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.stage import Stage
from overtone.edge_client.task import Task, known_task
from overtone.frequency import Encoded, Profile


@dataclass(frozen=True)
class ClientConfig:
    """The options that hold for all images of a client; `AsyncClient` explains them."""

    address: Address
    token: str | None = None
    tls: Tls | None = None
    operating_point: str = ""
    top: int = 1
    timeout: float = 10.0
    quality: int | None = None
    layers: int = 0  # whose tables are fetched at first; 0 means all
    model: str = ""

    def check(self, model: str) -> None:
        """Make sure that the server has the model that was named; servers of an earlier version ignore names.

        Raises:
            UnknownModel: the server has another model.
        """
        if self.model and self.model.partition(":")[0] != model:
            raise UnknownModel(f"the server has only {model!r}, not {self.model!r}")


@dataclass(frozen=True)
class Labels:
    """The labels of the model's classes and, in the same order, the names of their folders in training, if known."""

    labels: tuple[str, ...]
    folders: tuple[str, ...] = ()

    @classmethod
    def read(cls, parsed: Any) -> "Labels":
        """From parsed JSON.

        Raises:
            ProtocolError: it has no labels.
        """
        try:
            labels, folders = (tuple(map(str, parsed[key])) for key in ("labels", "classes"))
        except (LookupError, TypeError) as error:
            raise ProtocolError(f"the server's labels cannot be used ({error!r})") from error
        return cls(labels, folders if len(folders) == len(labels) else ())


@dataclass
class Upload:
    """One image to be sent.

    Attributes:
        encoded: its payloads; those of further layers may still be missing.
        profile_id: the id of the profile that it was encoded for.
        plan: the layers that are sent without being asked for.
        time_limit: in seconds.
        bytes_sent: payload bytes so far.
        layers: the number of layers of the image; 0 means those that are encoded.
        encode: adds layers up to a number to an encoded image, for a detector in some blocks alone (a packed mask,
            empty for all); it may have to fetch tables for them.
        picture: the size (width, height) of a picture for a detector, None for a classifier.
        asked: the number of layers that the server has asked for.
        in_regions: whether some of the layers have only some blocks.
    """

    encoded: Encoded
    profile_id: bytes
    plan: Plan
    time_limit: float = 10.0
    bytes_sent: int = 0
    layers: int = 0
    encode: Callable[[Encoded, int, bytes], Awaitable[Encoded]] | None = None
    picture: PictureSize | None = None
    asked: int = 0
    in_regions: bool = False

    @property
    def task(self) -> Task:
        """The task that the server's model must have."""
        return "classify" if self.picture is None else "detect"

    @property
    def count(self) -> int:
        """How many layers there are to the image, encoded or not."""
        return self.layers or len(self.encoded.layers)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The bytes of every layer's payload; 0 where it is not encoded yet."""
        known = tuple(map(len, self.encoded.layers))
        return known + (0,) * (self.count - len(known))

    @property
    def together(self) -> int:
        """The number of layers that are sent together if an image has to be sent again.

        For a detector these are the layers that were asked for or planned, as others would be of the whole picture.
        """
        return len(self.encoded.layers) if self.picture is None else max(self.plan.unasked, self.asked)

    def check(self, model: str, task: str) -> None:
        """Make sure that the server's model has the task of the upload.

        Raises:
            WrongTask: the model has another task.
        """
        if (does := known_task(task)) != self.task:
            raise WrongTask(f"the server's model {model!r} is there to {does}, not to {self.task}")

    async def need(self, layers: int) -> None:
        """Make sure that the layers up to this number are encoded.

        Raises:
            OvertoneError: their tables did not come.
        """
        self.asked = max(self.asked, layers)
        if layers > len(self.encoded.layers) and self.encode is not None:
            self.encoded = await self.encode(self.encoded, layers, b"")

    async def need_blocks(self, blocks: bytes, layers: int, sent: int) -> None:
        """Encode the layers above the `sent` ones, up to this number, of these blocks alone; empty means all blocks.

        What flows unasked is of the whole picture, and is left as it is.

        Raises:
            OvertoneError: there are no such blocks, or tables did not come.
        """
        kept = max(sent, self.plan.unasked)
        if self.encode is not None and layers > kept and (blocks or self.in_regions):
            self.encoded = replace(self.encoded, layers=self.encoded.layers[:kept])
            self.encoded = await self.encode(self.encoded, layers, blocks)
            self.in_regions = bool(blocks)
        await self.need(layers)


@dataclass(frozen=True)
class RawAnswer:
    """The server's answer, before the client has looked up the labels.

    `top` holds the classes, best first, and is empty if the model is a detector; `detections` is what that has found.
    Both are without labels where the profile has them. `layers` is how many the answer is made of. There is no
    observation if something was sent twice.
    """

    top: tuple[Score, ...]
    stage: Stage
    layers: int
    confident: bool
    queue_ms: float
    compute_ms: float
    model: str
    observation: Observation | None = None
    detections: tuple[Detection, ...] = ()


class Transport(Protocol):
    """A connection to a server. It raises `OvertoneError`s; keeping the deadline is left to the caller."""

    @property
    def credits(self) -> int:
        """How many images may be in flight."""

    async def profile(self, known: ProfileCache, *, fresh: bool = False) -> Profile:
        """The server's profile, or the part that is needed, from the cache if it is there and need not be fresh."""

    async def further(self, profile: Profile, layers: int) -> Profile:
        """A part of a profile with the tables of further layers, up to this number."""

    async def whole(self) -> Profile:
        """The server's whole profile."""

    @property
    def exit_share(self) -> float | None:
        """The share of images that the first layer answers, if that has come along with something else."""

    async def card(self) -> dict[str, Any]:
        """The card of the server's model."""

    async def labels(self) -> Labels:
        """The labels of the server's model."""

    async def send(self, upload: Upload) -> RawAnswer:
        """Send an image, and layers when they are asked for; if the connection is lost, once more on another."""

    async def close(self) -> None:
        """Close the connection, within a second or two."""
