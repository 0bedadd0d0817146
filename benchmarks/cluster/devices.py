"""A device that sends one image after the other, and notes what became of each."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from overtone.benchmarks.faults.honest import TRANSPORTS, image
from overtone.edge_client import AsyncClient, encode_image
from overtone.edge_client.encoding import EncodedImage

# Seconds that a device waits for an answer, over all its attempts.
TIMEOUT = 60.0


class Device:
    """Uses a server until it is told to stop.

    Attributes:
        answered, lost: images that have an answer, and those that have an error.
        longest_pause: seconds between two answers.
    """

    def __init__(self, transport: str, address: str) -> None:
        self.transport = transport
        self.answered = 0
        self.lost = 0
        self.errors: list[str] = []
        self.longest_pause = 0.0
        self._address = f"{TRANSPORTS[transport]}://{address}"

    async def run(self, over: asyncio.Event) -> None:
        """Send images, as many in flight as the server grants, until it is over and all have come back."""
        async with AsyncClient(self._address, policy="on_demand", timeout=TIMEOUT) as client:
            coded = await asyncio.to_thread(encode_image, image(), client.profile)
            last = time.monotonic()
            async for result in client.stream(_endless(coded, over)):
                self.longest_pause, last = max(self.longest_pause, time.monotonic() - last), time.monotonic()
                if result.answer is None:
                    self.lost += 1
                    self.errors.append(str(result.error))
                else:
                    self.answered += 1


def _endless(coded: EncodedImage, over: asyncio.Event) -> Iterator[Any]:
    while not over.is_set():
        yield coded
