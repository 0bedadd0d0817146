"""Servers that die or forget between low and high: an answer or a clear error, never a hang."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx

from overtone.frequency import Encoded
from overtone.link import Link
from overtone.link.sockets import endpoint
from tests.end_to_end.conftest import SCHEMES, Connect, Server, Start, eventually

FOREVER = 1e6


class Way:
    """One picture on its way from a device of its own to a server that will want high."""

    def __init__(self, server: Server, connect: Connect, transport: str, rtt: str = "0ms") -> None:
        self.link = Link(getattr(server, transport), rtt=rtt)
        self.transport = transport
        self._connect = connect

    async def classify(self, path: Path, *, deaf: asyncio.Barrier | None = None) -> dict[str, Any]:
        """The answer; a deaf device sends, but does not hear that more is wanted."""
        async with (
            self.link,
            self._connect(self.link, self.transport, "--operating-point", "never") as device,
        ):
            if deaf is not None:
                self.link.downstream.delay = FOREVER
                await deaf.wait()
            return await device.classify(path)

    async def move(self, server: Server | None) -> None:
        """Break the connection, and let new ones reach another server, or nobody."""
        await self.link.cut()
        self.link.downstream.delay = 0.0
        if server is not None:
            self.link.target = endpoint(getattr(server, self.transport))
        self.link.restore()


async def _kill_between(victim: Server, connect: Connect, path: Path, successor: Server | None) -> list[Any]:
    """The answers of two devices whose server is killed once it has asked both for high."""
    ways = [Way(victim, connect, transport) for transport in SCHEMES]
    ready = asyncio.Barrier(len(ways))
    answering = asyncio.gather(*(way.classify(path, deaf=ready) for way in ways))
    await eventually(lambda: victim.metric("overtone_escalations_total") == len(ways))
    victim.stop(signal.SIGKILL)
    for way in ways:
        await way.move(successor)
    return list(await answering)


async def test_server_killed_between_low_and_high(start: Start, connect: Connect, picture: Path) -> None:
    for answer in await _kill_between(start(), connect, picture, None):
        assert any(words in answer["error"] for words in ("broke", "reached", "no session"))


async def test_another_server_takes_over_between_low_and_high(
    server: Server, start: Start, connect: Connect, picture: Path, encoded: Encoded
) -> None:
    for answer in await _kill_between(start(), connect, picture, server):
        assert answer["stage"] == "high"
        assert answer["payload_bytes"] == 2 * len(encoded.low) + len(encoded.high)


async def test_state_expires_on_the_way(
    start: Start, connect: Connect, picture: Path, encoded: Encoded
) -> None:
    """High comes after one round trip; the server waits for less."""
    forgetful = start(state_ttl=0.3)
    ways = [Way(forgetful, connect, transport, "1s") for transport in ("rest", "grpc")]
    by_rest, by_grpc = await asyncio.gather(*(way.classify(picture) for way in ways))
    assert by_rest["stage"] == "high"
    assert by_rest["payload_bytes"] > len(encoded.low) + len(encoded.high)
    assert "high did not come in time" in by_grpc["error"]

    with forgetful.http(params={"operating_point": "never"}) as http:
        expired = http.post("/v1/images", content=encoded.low).headers["location"]
        await asyncio.sleep(1.0)
        for path in (expired, "/v1/images/nonsense/high"):
            response = http.post(path, content=encoded.high)
            assert response.status_code == httpx.codes.GONE
            assert "both" in response.json()["error"]["message"]
