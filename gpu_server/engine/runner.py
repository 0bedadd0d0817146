"""The interface by which the engine runs decoded images: by a batcher in this process, or in the engine's process."""

from typing import Protocol

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.inference import Ticket
from overtone.gpu_server.engine.queues import Refusal


class Runner(Protocol):
    """Runs decoded images; `put` may be called from any thread, all else from the event loop's alone.

    Attributes:
        failure: why every image is refused; None while images can be run.
    """

    failure: str | None

    async def start(self) -> None:
        """Get ready to run images."""

    async def stop(self) -> None:
        """Refuse what still waits."""

    def backlog(self) -> float:
        """Estimated seconds that the network needs for all images that wait."""

    @property
    def standing(self) -> bool:
        """Whether a standing queue has formed: images have waited longer than `standing_delay` for some time."""

    def depth(self, stage: Stage) -> int:
        """How many images wait for a stage."""

    def check(self) -> None:
        """Raise the reason why no image can be run now, if there is one.

        Raises:
            Unavailable: it is stopped, or the network fails.
        """

    def refusal(self, stage: Stage, expires: float, before: float) -> Refusal | None:
        """Why one more image is refused, which would be decoded in `before` seconds; None if it is admitted."""

    def expect(self, ticket: Ticket) -> None:
        """Count an image as waiting while it is decoded."""

    def put(self, ticket: Ticket, *, expected: bool = True) -> None:
        """Queue a decoded image; no effect if it was `expected` and has been removed meanwhile.

        Raises:
            Unavailable: as `check` does.
        """

    def remove(self, ticket: Ticket) -> None:
        """Forget an image if it still waits."""
