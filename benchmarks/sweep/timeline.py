"""One escalated image, traced from both ends: where its time goes."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import httpx

from overtone.benchmarks.load.prepared import PreparedImage
from overtone.edge_client import EncodedImage, ProtocolError
from overtone.edge_client.grpc_errors import from_rpc
from overtone.edge_client.grpc_transport import CHANNEL
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

CHUNK = 16 * 1024
# How often the link's counters are read.
TICK = 0.001
PHASES = ("queue", "compute")
# The image shown is the median of this many.
TRACED = 5
TIMES = re.compile(r'^overtone_(queue|compute)_seconds_sum\{stage="\w+"\} (\S+)$', re.MULTILINE)


async def trace(
    images: Sequence[PreparedImage],
    addresses: dict[str, str],
    link: str,
    token: str | None = None,
    operating_point: str = "",
) -> dict[str, Any] | None:
    """The phases of one escalated image over a link, one at a time on an otherwise idle session.

    Images that the first layer answers are skipped; the server's REST address is read for its metrics.

    Returns:
        `phases`, a list of name and milliseconds in order, of the image whose time is the median of those
        traced; `bytes` of each layer that was sent, and `others`, the times of all; None if the first layer
        answered all.

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
        layers = image.coded.encoded.layers
        self._number += 1
        phases, total, sent, wanted = [["encode", image.encode_ms]], image.encode_ms, 0, 1
        while True:
            what = f"layer {wanted}" if wanted - sent == 1 else f"layers {sent + 1} to {wanted}"
            spent, reply = await self._round(sent, layers[sent:wanted])
            asks, sent = reply.WhichOneof("message") == "need_more", wanted
            names = (f"{what} up", f"queue {sent}", f"compute {sent}", f"ask {sent}" if asks else "answer")
            phases += [[name, 1e3 * seconds] for name, seconds in zip(names, spent, strict=True)]
            total += 1e3 * sum(spent)
            if not asks:
                break
            wanted = reply.need_more.layers
        if sent == 1:
            return None
        return {"phases": phases, "bytes": [len(payload) for payload in layers[:sent]], "total_ms": total}

    async def _round(self, known: int, payloads: Sequence[bytes]) -> tuple[list[float], Any]:
        """Send layers that follow the `known` ones; the seconds up, of queue, compute and reply, and the reply.

        What the server does not measure (decoding, its network) counts towards the reply.
        """
        before = await self._server_times()
        start, arrival = time.perf_counter(), self._arrival(sum(map(len, payloads)))
        for message in self._messages(known, payloads):
            await self._call.write(message)
        reply = await self._receive("answer", "need_more")
        end, arrived = time.perf_counter(), await arrival
        after = await self._server_times()
        queue, compute = (after[phase] - before[phase] for phase in PHASES)
        found = [arrived - start, queue, compute, end - arrived - queue - compute]
        return [max(0.0, seconds) for seconds in found], reply

    def _messages(self, known: int, payloads: Sequence[bytes]) -> Iterator[pb.Upstream]:
        if not known:
            yield pb.Upstream(image=pb.Image(id=self._number, layers=payloads))
            return
        for layer, payload in enumerate(payloads, known + 1):
            for offset in range(0, len(payload), CHUNK):
                data, last = payload[offset : offset + CHUNK], offset + CHUNK >= len(payload)
                chunk = pb.Chunk(id=self._number, layer=layer, offset=offset, data=data, last=last)
                yield pb.Upstream(chunk=chunk)

    def _arrival(self, size: int) -> asyncio.Task[float]:
        """The time at which the link will have delivered so many bytes more to the server."""
        due = self._link.total.up + size

        async def wait() -> float:
            while self._link.total.up < due:
                await asyncio.sleep(TICK)
            return time.perf_counter()

        return asyncio.create_task(wait())

    async def _server_times(self) -> dict[str, float]:
        """Seconds by phase, of all images of the server so far."""
        reply = await self._http.get(self._metrics)
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise ProtocolError(f"no {self._metrics}: trace a server without tokens and without --admin-port")
        found = dict.fromkeys(PHASES, 0.0)
        for phase, seconds in TIMES.findall(reply.raise_for_status().text):
            found[phase] += float(seconds)
        return found

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
