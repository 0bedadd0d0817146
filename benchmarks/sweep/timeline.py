"""One escalated image, watched from both ends: where its time goes."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

import grpc
import httpx

from overtone.benchmarks.link.link import Link
from overtone.benchmarks.load.ready import Parcel
from overtone.edge_client import EncodedImage, ProtocolError
from overtone.edge_client.grpc_transport import CHANNEL
from overtone.edge_client.session import from_rpc
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

CHUNK = 16 * 1024
# How often the link's counters are read.
TICK = 0.001
# Images that are watched, so that one can be shown that is as usual as can be.
WATCHED = 5
TIMES = re.compile(r'^overtone_(queue|compute)_seconds_sum\{stage="(low|high)"\} (\S+)$', re.MULTILINE)
PHASES = (
    "encode",
    "low up",
    "queue low",
    "compute low",
    "ask",
    "high up",
    "queue high",
    "compute high",
    "answer",
)


async def watch(
    parcels: Sequence[Parcel],
    addresses: dict[str, str],
    link: str,
    token: str | None = None,
    operating_point: str = "",
) -> dict[str, Any] | None:
    """The phases of one escalated image over a link, one at a time on an otherwise idle session.

    Args:
        parcels: encoded pictures; those that low answers are passed over.
        addresses: of the server's faces, `grpc` and `rest`; the latter for its metrics.
        link: name of a profile.
        token: the server's, if it wants one.
        operating_point: of the card; empty is its default.

    Returns:
        `phases`, a list of name and milliseconds in order, of the image whose time is the median of those
        watched; `low_bytes`, `high_bytes`, and `others`, the times of all; None if low answered all.

    Raises:
        OvertoneError: the session broke.
    """
    found: list[dict[str, Any]] = []
    async with (
        Link(addresses["grpc"], profile=link) as way,
        httpx.AsyncClient(trust_env=False) as http,
        grpc.aio.insecure_channel(way.address, options=CHANNEL) as channel,
    ):
        watcher = _Watcher(channel, way, http, f"http://{addresses['rest']}/metrics", token)
        try:
            await watcher.greet(operating_point)
            for parcel in parcels:
                if len(found) == WATCHED:
                    break
                seen = await watcher.follow(parcel)
                if seen is not None:
                    found.append(seen)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
    if not found:
        return None
    found.sort(key=lambda seen: seen["total_ms"])
    return found[len(found) // 2] | {"others": [seen["total_ms"] for seen in found]}


class _Watcher:
    """A session, its link, and the server's metrics."""

    def __init__(
        self, channel: Any, link: Link, http: httpx.AsyncClient, metrics: str, token: str | None
    ) -> None:
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._call = stubs.CascadeStub(channel).Session(metadata=metadata)  # type: ignore[no-untyped-call]
        self._link, self._http, self._metrics = link, http, metrics
        self._number = 0

    async def greet(self, operating_point: str) -> None:
        """Open the session."""
        options = pb.Options(operating_point=operating_point)
        await self._call.write(pb.Upstream(hello=pb.Hello(options=options)))
        await self._hear("welcome")

    async def follow(self, parcel: Parcel) -> dict[str, Any] | None:
        """One image; None if it was not escalated."""
        assert isinstance(parcel.coded, EncodedImage)
        low, high = parcel.coded.encoded.low, parcel.coded.encoded.high
        self._number += 1
        before = await self._server_times()
        image = pb.Image(id=self._number, low=low)
        start, arriving = time.perf_counter(), self._arrival(len(low))
        await self._call.write(pb.Upstream(image=image))
        heard = await self._hear("answer", "need_high")
        asked, low_there = time.perf_counter(), await arriving
        if heard.WhichOneof("message") == "answer":
            return None
        arriving = self._arrival(len(high))
        for offset in range(0, len(high), CHUNK):
            data = high[offset : offset + CHUNK]
            last = offset + CHUNK >= len(high)
            chunk = pb.HighChunk(id=self._number, offset=offset, data=data, last=last)
            await self._call.write(pb.Upstream(high=chunk))
        await self._hear("answer")
        end, high_there = time.perf_counter(), await arriving
        after = await self._server_times()
        server = {name: after[name] - before[name] for name in after}
        # What the server does not count (decoding, its network) is told as part of the message that follows.
        spans = {
            "encode": parcel.encode_ms / 1e3,
            "low up": low_there - start,
            "queue low": server["queue low"],
            "compute low": server["compute low"],
            "ask": asked - low_there - server["queue low"] - server["compute low"],
            "high up": high_there - asked,
            "queue high": server["queue high"],
            "compute high": server["compute high"],
            "answer": end - high_there - server["queue high"] - server["compute high"],
        }
        return {
            "phases": [[name, 1e3 * max(0.0, spans[name])] for name in PHASES],
            "low_bytes": len(low),
            "high_bytes": len(high),
            "total_ms": 1e3 * (end - start) + parcel.encode_ms,
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
        """Seconds by what and stage, all images of the server so far."""
        text = (await self._http.get(self._metrics)).raise_for_status().text
        found = {f"{what} {stage}": float(seconds) for what, stage, seconds in TIMES.findall(text)}
        return {
            f"{what} {stage}": found.get(f"{what} {stage}", 0.0)
            for what in ("queue", "compute")
            for stage in ("low", "high")
        }

    async def _hear(self, *kinds: str) -> Any:
        while True:
            message = await self._call.read()
            if message is grpc.aio.EOF:
                raise ProtocolError("the server closed the session")
            kind = message.WhichOneof("message")
            if kind == "error":
                raise ProtocolError(message.error.message)
            if kind in kinds:
                return message
