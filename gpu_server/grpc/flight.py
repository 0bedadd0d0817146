"""An image in flight in a session: the layers that are wanted, promised and arriving."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from overtone.gpu_server import errors
from overtone.gpu_server.upload import Upload


@dataclass(eq=False, slots=True)
class Flight:
    """An image in flight; it is also the key under which the store keeps the image between layers.

    Attributes:
        upload: the further layers.
        promised: the last layer that the device sends without being asked.
        wanted: the last layer that the server needs.
        task: the task that answers the image.
    """

    upload: Upload
    promised: int
    wanted: int = 1
    task: asyncio.Task[None] = field(init=False)


@contextmanager
def overloaded_if_promised(flight: Flight) -> Iterator[None]:
    """Raise Overloaded for StateLost where all wanted layers are promised: to ask for them again would not help."""
    try:
        yield
    except errors.StateLost:
        if flight.wanted > flight.promised:
            raise
        raise errors.Overloaded(
            "the server has no room for unfinished images; try again later", retry_after=1.0
        ) from None
