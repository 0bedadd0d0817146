"""One of the processes that clients reach."""

from dataclasses import dataclass
from pathlib import Path

from overtone.gpu_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Face:
    """One of `count` processes that share their ports; the sockets between processes are in `directory`."""

    number: int
    count: int
    directory: Path

    @property
    def engine(self) -> Path:
        """The engine's socket."""
        return engine_socket(self.directory)

    def socket(self, number: int) -> Path:
        """Where a face takes HTTP requests from the others."""
        return self.directory / f"face-{number}.sock"

    def share(self, settings: Settings) -> Settings:
        """Settings with this face's part of what all of them may hold."""
        parts = ("max_sessions", "state_bytes", "body_bytes", "image_queue")
        return settings.model_copy(
            update={name: -(-getattr(settings, name) // self.count) for name in parts} | {"decoders": 1}
        )


def engine_socket(directory: Path) -> Path:
    """The engine's socket."""
    return directory / "engine.sock"
