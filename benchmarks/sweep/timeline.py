"""One escalated image, traced from both ends: where its time goes."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

import grpc
import httpx

from overtone.benchmarks.load.prepared import PreparedImage
from overtone.edge_client import EncodedImage, ProtocolError
from overtone.edge_client.grpc_transport import CHANNEL
from overtone.edge_client.session import from_rpc
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

CHUNK = 16 * 1024
# How often the link's counters are read.
TICK = 0.001
# The image shown is the median of this many.
TRACED = 5
TIMES = re.compile(r'^overtone_(queue|compute)_seconds_sum\{stage="(low|high)"\} (\S+)$', re.MULTILINE)


async def trace(
    images: Sequence[PreparedImage],
    addresses: dict[str, str],
    link: str,
    token: str | None = None,
    operating_point: str = "",
) -> dict[str, Any] | None:
    """The phases of one escalated image over a link, one at a time on an otherwise idle session.

    Images that low answers are skipped; the server's REST address is read for its metrics.

    Returns:
        `phases`, a list of name and milliseconds in order, of the image whose time is the median of those
        traced; `low_bytes`, `high_bytes`, and `others`, the times of all; None if low answered all.

    Raises:
        OvertoneError: the session broke.
    """
    found: list[dict[str, Any]] = []
    async with (
        Link(addresses["grpc"], profile=link) as relay,
        httpx.AsyncClient(trust_env=False) as http,
        grpc.aio.insecure_channel(relay.address, options=CHANNEL) as channel,
    ):
        tracer = _Tracer(channel, relay, http, f"http://{addresses['rest']}/metrics", token)
        try:
            await tracer.open_session(operating_point)
            for image in images:
                if len(found) == TRACED:
                    break
                traced = await tracer.follow(image)
                if traced is not None:
                    found.append(traced)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
    if not found:
        return None
    found.sort(key=lambda traced: traced["total_ms"])
    return found[len(found) // 2] | {"others": [traced["total_ms"] for traced in found]}


class _Tracer:
    """A session, its link, and the server's metrics."""

    def __init__(
        self, channel: Any, link: Link, http: httpx.AsyncClient, metrics: str, token: str | None
    ) -> None:
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._call = stubs.CascadeStub(channel).Session(metadata=metadata)  # type: ignore[no-untyped-call]
        self._link, self._http, self._metrics = link, http, metrics
        self._number = 0

    async def open_session(self, operating_point: str) -> None:
        """Send hello and wait for the welcome."""
        options = pb.Options(operating_point=operating_point)
        await self._call.write(pb.Upstream(hello=pb.Hello(options=options)))
        await self._receive("welcome")

    async def follow(self, image: PreparedImage) -> dict[str, Any] | None:
        """One image; None if it was not escalated."""
        assert isinstance(image.coded, EncodedImage)
        low, high = image.coded.encoded.low, image.coded.encoded.high
        self._number += 1
        before = await self._server_times()
        start, arrival = time.perf_counter(), self._arrival(len(low))
        await self._call.write(pb.Upstream(image=pb.Image(id=self._number, low=low)))
        reply = await self._receive("answer", "need_high")
        requested, low_arrived = time.perf_counter(), await arrival
        if reply.WhichOneof("message") == "answer":
            return None
        arrival = self._arrival(len(high))
        for offset in range(0, len(high), CHUNK):
            data, last = high[offset : offset + CHUNK], offset + CHUNK >= len(high)
            chunk = pb.HighChunk(id=self._number, offset=offset, data=data, last=last)
            await self._call.write(pb.Upstream(high=chunk))
        await self._receive("answer")
        end, high_arrived = time.perf_counter(), await arrival
        after = await self._server_times()
        server = {name: after[name] - before[name] for name in after}
        # What the server does not measure (decoding, its network) counts towards the message that follows.
        seconds = {
            "encode": image.encode_ms / 1e3,
            "low up": low_arrived - start,
            "queue low": server["queue low"],
            "compute low": server["compute low"],
            "ask": requested - low_arrived - server["queue low"] - server["compute low"],
            "high up": high_arrived - requested,
            "queue high": server["queue high"],
            "compute high": server["compute high"],
            "answer": end - high_arrived - server["queue high"] - server["compute high"],
        }
        return {
            "phases": [[name, 1e3 * max(0.0, spent)] for name, spent in seconds.items()],
            "low_bytes": len(low),
            "high_bytes": len(high),
            "total_ms": 1e3 * (end - start) + image.encode_ms,
        }

    def _arrival(self, size: int) -> asyncio.Task[float]:
        """The time at which the link will have delivered so many bytes more to the server."""
        due = self._link.total.up + size

        async def wait() -> float:
            while self._link.total.up < due:
                await asyncio.sleep(TICK)
            return time.perf_counter()

        return asyncio.create_task(wait())

    async def _server_times(self) -> dict[str, float]:
        """Seconds by phase and stage, of all images of the server so far."""
        text = (await self._http.get(self._metrics)).raise_for_status().text
        found = {f"{phase} {stage}": float(seconds) for phase, stage, seconds in TIMES.findall(text)}
        names = (f"{phase} {stage}" for phase in ("queue", "compute") for stage in ("low", "high"))
        return {name: found.get(name, 0.0) for name in names}

    async def _receive(self, *kinds: str) -> Any:
        while True:
            message = await self._call.read()
            if message is grpc.aio.EOF:
                raise ProtocolError("the server closed the session")
            kind = message.WhichOneof("message")
            if kind == "error":
                raise ProtocolError(message.error.message)
            if kind in kinds:
                return message
