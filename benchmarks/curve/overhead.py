"""What a picture costs on the wire beside its payload, measured over real sockets.

Counted by a `benchmarks.link.link.Link` between a device and a server: TCP payload in both directions, of one
picture after another on one connection that stays open. Headers of TCP/IP and acknowledgements are
estimated, see `benchmarks.link.air` for how and for the RFCs.

Rivals are counted twice: in a message of our own session, the least that a picture can be sent in, and as an
HTTP POST on a connection kept alive, which is what most would do.
"""

import asyncio
import io
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.demo.command import serving
from overtone.benchmarks.link.air import HEADER
from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.rate import MTU_PAYLOAD
from overtone.edge_client import AsyncClient
from overtone.frequency import fit, open_rgb
from overtone.models import OperatingPoint, find, read_card, rewrite

Sizes = NDArray[np.floating] | NDArray[np.integer]

CALM = 0.05
TIMEOUT = 60.0
ALWAYS, NEVER = "answered-low", "answered-high"
SIDE, QUALITY = 112, 50


@dataclass(frozen=True)
class Framing:
    """TCP payload of one exchange beside the payload sent: bytes `up` to the server, `down` to the device."""

    up: float
    down: float

    def wire(self, payload: Sizes) -> NDArray[np.float64]:
        """Bytes on the wire both ways, headers and acknowledgements included, float64 like the payloads.

        Two segments share an acknowledgement, the last of them the answer, which itself gets an empty one.
        """
        up = np.asarray(payload, dtype=np.float64) + self.up
        there, back = np.ceil(up / MTU_PAYLOAD), np.ceil(self.down / MTU_PAYLOAD)
        empty = np.ceil(there / 2) - 1 + np.ceil(back / 2)
        found: NDArray[np.float64] = up + self.down + HEADER * (there + back + empty)
        return found


@dataclass(frozen=True)
class Overhead:
    """Framing of a picture answered from its first message, of asking for high and sending it, of a POST."""

    image: Framing
    high: Framing
    post: Framing

    @classmethod
    def read(cls, value: dict[str, Any]) -> Self:
        """From what `asdict` gave."""
        return cls(**{name: Framing(**framing) for name, framing in value.items()})

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def ours(self, low: Sizes, high: Sizes, early: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Bytes on the wire of pictures with these payloads, the `early` ones answered from low."""
        return self.image.wire(low) + np.where(early, 0.0, self.high.wire(high))


def measure(checkpoint: str, paths: Sequence[Path]) -> Overhead:
    """What a server with this checkpoint and a device exchange over these pictures.

    Raises:
        CheckpointError: no such checkpoint.
        ChildError: the server did not start.
    """
    with TemporaryDirectory() as folder:
        forced = Path(folder) / "forced.safetensors"
        _with_forced_points(checkpoint, forced)
        return asyncio.run(_measure(str(forced), paths))


def _with_forced_points(checkpoint: str, out: Path) -> None:
    """The same network with operating points that always, and never, answer from low."""
    card = read_card(find(checkpoint))
    forced = OperatingPoint(name=ALWAYS, threshold=0.0), OperatingPoint(name=NEVER, threshold=2.0)
    points = (*card.operating_points, *forced)
    rewrite(find(checkpoint), card.model_copy(update={"operating_points": points}), out)


async def _measure(checkpoint: str, paths: Sequence[Path]) -> Overhead:
    async with serving(checkpoint) as served:
        image = await _session(served.addresses["grpc"], ALWAYS, paths)
        both = await _session(served.addresses["grpc"], NEVER, paths)
        post = await _posts(served.addresses["rest"], paths)
    return Overhead(image, Framing(both.up - image.up, both.down - image.down), post)


async def _session(target: str, point: str, paths: Sequence[Path]) -> Framing:
    async with (
        Link(target) as link,
        AsyncClient(
            f"grpc://{link.address}", policy="on_demand", operating_point=point, timeout=TIMEOUT
        ) as client,
    ):

        async def classify(path: Path) -> int:
            return (await client.classify(path)).bytes_sent

        return await _framing(link, classify, paths)


async def _posts(target: str, paths: Sequence[Path]) -> Framing:
    async with Link(target) as link, httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as http:
        # What httpx says of itself and accepts: a device that counts bytes would say none of it.
        http.headers.clear()

        async def post(path: Path) -> int:
            body = _webp(path)
            headers = {"content-type": "image/webp"}
            answer = await http.post(f"http://{link.address}/v1/classify", content=body, headers=headers)
            answer.raise_for_status()
            return len(body)

        return await _framing(link, post, paths)


async def _framing(
    link: Link, send: Callable[[Path], Coroutine[Any, Any, int]], paths: Sequence[Path]
) -> Framing:
    """Means over the pictures, without the first, which opens the connection."""
    found = []
    await send(paths[0])
    for path in paths:
        before = await _settled(link)
        payload = await send(path)
        up, down = await _settled(link)
        found.append((up - before[0] - payload, down - before[1]))
    return Framing(*(float(mean) for mean in np.mean(found, axis=0)))


async def _settled(link: Link) -> tuple[int, int]:
    """Bytes up and down so far, once nothing moves any more."""
    while True:
        before = link.total.up, link.total.down
        await asyncio.sleep(CALM)
        if (link.total.up, link.total.down) == before:
            return before


def _webp(path: Path) -> bytes:
    file = io.BytesIO()
    Image.fromarray(fit(open_rgb(path), SIDE)).save(file, "webp", quality=QUALITY)
    return file.getvalue()
