"""An honest client: classifies one image after the other over gRPC and REST, and notes how long each took."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from overtone.edge_client import AsyncClient, OvertoneError
from overtone.edge_client.encoding import EncodedImage, encode_image

# Seconds between an answer and the next image.
PAUSE = 0.02
TRANSPORTS = {"grpc": "grpc", "rest": "http"}


@dataclass
class Times:
    """Milliseconds of the images that were answered, by transport, and how many were not."""

    answered: dict[str, list[float]] = field(default_factory=lambda: {each: [] for each in TRANSPORTS})
    failed: int = 0

    def percentile(self, transport: str, q: float) -> float:
        """A percentile in milliseconds; infinite where nothing was answered."""
        found = self.answered[transport]
        return float(np.percentile(found, q)) if found else float("inf")


async def measure(addresses: Mapping[str, str], seconds: float) -> Times:
    """Classify for so many seconds, over both transports at the same time; the clients connect anew."""
    times = Times()
    await asyncio.gather(*(_classify(addresses[each], each, times, seconds) for each in TRANSPORTS))
    return times


async def _classify(address: str, transport: str, times: Times, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            async with AsyncClient(f"{TRANSPORTS[transport]}://{address}", policy="on_demand") as client:
                coded = await asyncio.to_thread(encode_image, image(), client.profile)
                while time.monotonic() < ends:
                    times.answered[transport].append(await _timed(client, coded))
                    await asyncio.sleep(PAUSE)
        except OvertoneError:
            times.failed += 1
            await asyncio.sleep(PAUSE)


async def _timed(client: AsyncClient, image: EncodedImage) -> float:
    began = time.perf_counter()
    await client.classify(image)
    return 1000 * (time.perf_counter() - began)


def image() -> np.ndarray:
    """uint8[256, 256, 3]: smooth shapes with some grain. What they show does not matter."""
    y, x = np.mgrid[:256, :256] / 256
    planes = np.stack([np.sin(3 * x + 2 * y), np.cos(4 * x * y), np.sin(5 * y)], axis=-1)
    grain = np.random.default_rng(7).normal(0, 6, planes.shape)
    return np.clip(128 + 90 * planes + grain, 0, 255).astype(np.uint8)
