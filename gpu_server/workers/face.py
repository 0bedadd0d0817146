"""One of the processes that clients reach."""

import socket
from dataclasses import dataclass
from pathlib import Path

from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import BACKLOG
from overtone.gpu_server.workers.edition import Edition, announcement


@dataclass(frozen=True, slots=True)
class Face:
    """One of `count` processes that share their ports; what they have in common is in `directory`."""

    number: int
    count: int
    directory: Path

    @property
    def edition(self) -> Edition:
        """The model for what begins now, and its engine."""
        return Edition.current(self.directory)

    @property
    def announcement(self) -> Path:
        """The file that changes when there is another edition."""
        return announcement(self.directory)

    @property
    def first(self) -> bool:
        """Whether it does what only one of them does: the administrators' port."""
        return self.number == 0

    def rest_socket(self, number: int) -> Path:
        """Where a face takes HTTP requests from the others."""
        return self.directory / f"face-{number}.sock"

    def listener(self) -> socket.socket:
        """The socket where it takes them."""
        path = self.rest_socket(self.number)
        path.unlink(missing_ok=True)  # of a process that was here before
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        found.bind(str(path))
        found.listen(BACKLOG)
        return found

    def share(self, settings: Settings) -> Settings:
        """Settings with this face's part of what all of them may hold."""
        parts = ("max_sessions", "state_bytes", "body_bytes", "image_queue")
        return settings.model_copy(
            update={name: -(-getattr(settings, name) // self.count) for name in parts} | {"decoders": 1}
        )
