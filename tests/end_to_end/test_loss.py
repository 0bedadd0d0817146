"""Servers that die or forget between layers: an answer or a clear error, never a hang."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from overtone.frequency import Encoded
from overtone.link import Link
from overtone.link.sockets import endpoint
from tests.end_to_end.conftest import SCHEMES, Connect, Server, Start, eventually
from tests.serving import Serve

pytestmark = pytest.mark.xdist_group("end_to_end")
FOREVER = 1e6


class Way:
    """One image on its way from a device of its own to a server that will ask for more.

    Once the server is killed, its successor takes over, if there is one.
    """

    def __init__(
        self,
        address: str,
        connect: Connect,
        transport: str,
        rtt: str = "0ms",
        successor: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.link = Link(address, rtt=rtt)
        self._transport = transport
        self._connect = connect
        self._successor = successor
        self._options = "--operating-point", "never", "--timeout", str(timeout)

    async def classify(self, path: Path, *, deaf: asyncio.Barrier | None = None) -> dict[str, Any]:
        """The answer; a deaf device sends, but does not hear that more is wanted."""
        async with (
            self.link,
            self._connect(self.link, self._transport, *self._options) as device,
        ):
            if deaf is not None:
                self.link.downstream.delay = FOREVER
                await deaf.wait()
            return await device.classify(path)

    async def move(self) -> None:
        """Break the connection, and let new ones reach the successor, or nobody."""
        await self.link.cut()
        self.link.downstream.delay = 0.0
        if self._successor is not None:
            self.link.target = endpoint(self._successor)
        self.link.restore()


async def test_server_killed_between_layers(
    server: Server, start: Start, connect: Connect, image: Path, encoded: Encoded
) -> None:
    """Two devices then find nobody, and two find another server."""
    victim = await asyncio.to_thread(start)
    left = [Way(getattr(victim, t), connect, t, timeout=10.0) for t in SCHEMES]
    moved = [Way(getattr(victim, t), connect, t, successor=getattr(server, t)) for t in SCHEMES]
    ready = asyncio.Barrier(len(left + moved))
    answering = asyncio.gather(*(way.classify(image, deaf=ready) for way in left + moved))
    await eventually(lambda: victim.metric('overtone_escalations_total{layer="2"}') == len(left + moved))
    victim.stop(signal.SIGKILL)
    for way in left + moved:
        await way.move()
    answers = await answering
    for answer in answers[: len(left)]:
        assert any(words in answer["error"] for words in ("broke", "reached", "no session"))
    # Over REST the device then sends what it had encoded, and, asked for more, all layers together.
    again = {"grpc": 1, "rest": 2}
    for transport, answer in zip(SCHEMES, answers[len(left) :], strict=True):
        assert answer["stage"] == "high"
        assert answer["payload_bytes"] == again[transport] * len(encoded.layers[0]) + encoded.size


async def test_state_expires_on_the_way(
    serve: Serve, connect: Connect, image: Path, encoded: Encoded
) -> None:
    """The second layer comes after one round trip; the server waits for less."""
    async with serve(state_ttl=0.1) as forgetful:
        addresses = {"rest": forgetful.http_port, "grpc": forgetful.grpc_port}
        ways = [Way(f"127.0.0.1:{port}", connect, t, "400ms") for t, port in addresses.items()]
        by_rest, by_grpc = await asyncio.gather(*(way.classify(image) for way in ways))
        assert by_rest["stage"] == "high"
        assert by_rest["payload_bytes"] > encoded.size
        assert "layer 2 did not come in time" in by_grpc["error"]
