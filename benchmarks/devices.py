"""Devices that send images without pause, and count answers and losses."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from overtone.benchmarks.faults.honest import TRANSPORTS, image
from overtone.benchmarks.figure import Figure
from overtone.edge_client import AsyncClient, encode_image
from overtone.edge_client.encoding import EncodedImage

# Seconds that a device waits for an answer, over all its attempts.
TIMEOUT = 240.0


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


def figures(name: str, devices: Sequence[Device]) -> list[Figure]:
    """Answered and lost images and the longest pause of any device, by transport; at most 0 may be lost."""
    found = []
    for transport in TRANSPORTS:
        chosen = [device for device in devices if device.transport == transport]
        pause = max(device.longest_pause for device in chosen)
        found += [
            Figure(f"{name}.{transport}.answered", sum(device.answered for device in chosen), "images"),
            Figure(f"{name}.{transport}.lost", sum(device.lost for device in chosen), "images", 0),
            Figure(f"{name}.{transport}.longest_pause", pause, "s"),
        ]
    return found


def print_figures(found: Sequence[Figure]) -> None:
    """Print figures as a table."""
    table = Table("figure", "value", "unit")
    for figure in found:
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit)
    Console().print(table)
