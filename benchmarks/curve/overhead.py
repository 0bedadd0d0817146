"""The framing of an image: bytes on the wire besides its payload, measured over real sockets.

A `overtone.link.Link` between a device and a server counts TCP payload in both directions, one image
after another on a connection that stays open. TCP/IP headers and acknowledgements are estimated, see
`overtone.link.tcp_overhead`.

Baselines are counted twice: in a message of Overtone's own session, the least that an image can be sent in,
and as an HTTP POST on a kept-alive connection, which is what most people would do.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.server import Server, serving
from overtone.edge_client import AsyncClient
from overtone.frequency import LetterBox, fit, open_rgb
from overtone.link import Link
from overtone.link.rate import MTU_PAYLOAD
from overtone.link.tcp_overhead import HEADER
from overtone.models import OperatingPoint, find, read_card, rewrite

Sizes = NDArray[np.floating] | NDArray[np.integer]

CALM = 0.05
TIMEOUT = 60.0
ALWAYS_LOW, ALWAYS_HIGH = "answered-low", "answered-high"
SIDE, QUALITY = 112, 50


@dataclass(frozen=True)
class Framing:
    """TCP payload of one exchange besides the payload sent: bytes `up` to the server, `down` to the device."""

    up: float
    down: float

    def wire(self, payload: Sizes, told: Sizes | float = 0.0) -> NDArray[np.float64]:
        """Bytes on the wire both ways, headers and acknowledgements included, float64 like the payloads.

        `told` are further bytes that the server sends. Two segments share an acknowledgement; the last one is the
        answer, which gets an empty one itself.
        """
        up, down = np.asarray(payload, dtype=np.float64) + self.up, np.asarray(told) + self.down
        there, back = np.ceil(up / MTU_PAYLOAD), np.ceil(down / MTU_PAYLOAD)
        empty = np.ceil(there / 2) - 1 + np.ceil(back / 2)
        found: NDArray[np.float64] = up + down + HEADER * (there + back + empty)
        return found


@dataclass(frozen=True)
class Overhead:
    """The framing of an image's first message, of a request for more layers and these, and of an HTTP POST."""

    image: Framing
    high: Framing
    post: Framing

    def cascade(self, sizes: Sizes, judged: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Bytes on the wire float64[n] of images with payloads of layers [layers, n].

        The server judges each image after the layers of bool[layers, n]; layers between two judgements share a message.
        """
        total, waiting = self.image.wire(sizes[0]), np.zeros(sizes.shape[1])
        for size, asked in zip(sizes[1:], judged[1:], strict=True):
            waiting = waiting + size
            total = total + np.where(asked, self.high.wire(waiting), 0.0)
            waiting = np.where(asked, 0.0, waiting)
        return total


def measure(checkpoint: str, paths: Sequence[Path]) -> Overhead:
    """Measure the framing between a server with this checkpoint and a device, over these images.

    Raises:
        CheckpointError: no such checkpoint.
        ChildError: the server did not start.
    """
    return measure_forced(partial(force, find(checkpoint)), paths)


def force(source: Path, out: Path) -> None:
    """Write a checkpoint with two operating points more, `ALWAYS_LOW` and `ALWAYS_HIGH`."""
    card, thresholds = read_card(source), {ALWAYS_LOW: 0.0, ALWAYS_HIGH: 2.0}
    later = len(card.profile.ladder) - 1
    points = (
        OperatingPoint(name=name, thresholds=(value,) * later, all_below=(value,) * later)
        for name, value in thresholds.items()
    )
    rewrite(source, card.model_copy(update={"operating_points": (*card.operating_points, *points)}), out)


def measure_forced(write: Callable[[Path], None], paths: Sequence[Path]) -> Overhead:
    """As `measure`, with a checkpoint that a function writes and that has the operating points of `force`."""
    with TemporaryDirectory() as folder:
        forced = Path(folder) / "forced.safetensors"
        write(forced)
        return asyncio.run(_measure(str(forced), paths))


async def _measure(checkpoint: str, paths: Sequence[Path]) -> Overhead:
    async with serving(checkpoint) as server:
        return await over_links(server, paths)


async def over_links(server: Server, paths: Sequence[Path]) -> Overhead:
    """As `measure`, with a checkpoint file that has the operating points of `force`."""
    image = await _session(server, ALWAYS_LOW, paths)
    both = await _session(server, ALWAYS_HIGH, paths)
    post = await _posts(server, paths)
    return Overhead(image, Framing(both.up - image.up, both.down - image.down), post)


async def _session(server: Server, point: str, paths: Sequence[Path]) -> Framing:
    async with Link(server.addresses["grpc"]) as link:
        address = f"grpc://{link.address}"
        async with AsyncClient(address, policy="on_demand", operating_point=point, timeout=TIMEOUT) as client:
            ask = client.detect if server.task == "detect" else client.classify

            async def send(path: Path) -> int:
                return (await ask(path)).bytes_sent

            return await _framing(link, send, paths)


async def _posts(server: Server, paths: Sequence[Path]) -> Framing:
    target = server.addresses["rest"]
    async with Link(target) as link, httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as http:
        # A device that saves bytes would not send httpx's default headers.
        http.headers.clear()

        async def send(path: Path) -> int:
            file = io.BytesIO()
            _posted(server, path).save(file, "webp", quality=QUALITY)
            url, headers = f"http://{link.address}/v1/{server.task}", {"content-type": "image/webp"}
            (await http.post(url, content=file.getvalue(), headers=headers)).raise_for_status()
            return file.tell()

        return await _framing(link, send, paths)


def _posted(server: Server, path: Path) -> Image.Image:
    """The image to post: a small square for a classifier, the whole picture for a detector."""
    image = open_rgb(path)
    if server.task == "classify":
        return Image.fromarray(fit(image, SIDE))
    return image.resize(LetterBox(server.profile.size, *image.size).content)


async def _framing(link: Link, send: Callable[[Path], Awaitable[int]], paths: Sequence[Path]) -> Framing:
    """The mean framing over the images; the first is sent once before, to open the connection."""
    found = []
    await send(paths[0])
    for path in paths:
        before = await link.settled(CALM)
        payload = await send(path)
        up, down = await link.settled(CALM)
        found.append((up - before[0] - payload, down - before[1]))
    return Framing(*(float(mean) for mean in np.mean(found, axis=0)))
