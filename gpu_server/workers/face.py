"""A face: one of the front-end processes that clients connect to, and the files through which it finds the others."""

import socket
from dataclasses import dataclass
from pathlib import Path

from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import BACKLOG
from overtone.gpu_server.workers.generation import Generation


@dataclass(frozen=True, slots=True)
class Face:
    """One of the front-end processes that share the ports of a server.

    Attributes:
        number: from 0; tokens for unfinished images begin with it.
        count: how many faces there are.
        directory: the temporary folder that the server's processes share.
    """

    number: int
    count: int
    directory: Path

    @property
    def generation(self) -> Generation:
        """The generation of the model that new sessions and requests use."""
        return Generation.current(self.directory)

    @property
    def first(self) -> bool:
        """Whether it is the one face that serves the administrators' port."""
        return self.number == 0

    def rest_socket(self, number: int) -> Path:
        """The path of the Unix socket on which a face accepts forwarded HTTP requests."""
        return self.directory / f"face-{number}.sock"

    def listener(self) -> socket.socket:
        """A listening socket for forwarded HTTP requests."""
        path = self.rest_socket(self.number)
        path.unlink(missing_ok=True)  # of a process that was here before
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        found.bind(str(path))
        found.listen(BACKLOG)
        return found

    def share(self, settings: Settings) -> Settings:
        """Settings with this face's part of the limits that hold for all faces together."""
        parts = ("max_sessions", "state_bytes", "body_bytes", "image_queue")
        return settings.model_copy(
            update={name: -(-getattr(settings, name) // self.count) for name in parts} | {"decoders": 1}
        )
