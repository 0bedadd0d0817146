"""Images in gRPC sessions, each with as many in flight as it has credits."""

import asyncio
import itertools
import math
import time
from collections.abc import Iterator

import grpc

from overtone.benchmarks.serve.window import Window
from overtone.benchmarks.serve.workload import Workload
from overtone.protos import overtone_pb2 as pb

METHOD = "/overtone.v2.Cascade/Session"
# Every session is opened on a connection of its own, as devices do.
OPTIONS = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
# Images in flight in a session; a server may allow fewer.
CREDITS = 16


async def load(address: str, workload: Workload, in_flight: int, window: Window) -> None:
    """Keep images in flight until the window is over.

    Raises:
        grpc.RpcError: a session ended, which none may.
    """
    count = math.ceil(in_flight / CREDITS)
    shares = [in_flight // count + (i < in_flight % count) for i in range(count)]
    endless = itertools.cycle(workload.layers)
    sessions = [asyncio.create_task(_session(address, workload, endless, n, window)) for n in shares]
    measuring = asyncio.create_task(window.run())
    try:
        await asyncio.wait({measuring, *sessions}, return_when=asyncio.FIRST_COMPLETED)
        for session in sessions:
            if session.done():
                session.result()
        await measuring
    finally:
        for task in (measuring, *sessions):
            task.cancel()
        await asyncio.gather(measuring, *sessions, return_exceptions=True)


async def _session(
    address: str, workload: Workload, images: Iterator[tuple[bytes, ...]], in_flight: int, window: Window
) -> None:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=pb.Upstream.SerializeToString,
            response_deserializer=pb.Downstream.FromString,
        )()
        options = pb.Options(operating_point=workload.point)
        await call.write(pb.Upstream(hello=pb.Hello(options=options)))
        welcome = await call.read()
        in_flight = min(in_flight, welcome.welcome.credits)
        sent = [0.0] * in_flight
        for slot in range(in_flight):
            sent[slot] = time.perf_counter()
            await _send(call, slot, next(images), workload.promised)
        while (message := await call.read()) is not grpc.aio.EOF:
            kind = message.WhichOneof("message")
            if kind not in ("answer", "error"):
                continue
            outcome = getattr(message, kind)
            window.answered(sent[outcome.id], None if kind == "answer" else outcome.message)
            sent[outcome.id] = time.perf_counter()
            await _send(call, outcome.id, next(images), workload.promised)
        raise grpc.RpcError(await call.details())


async def _send(call: grpc.aio.StreamStreamCall, slot: int, layers: tuple[bytes, ...], promised: int) -> None:
    await call.write(pb.Upstream(image=pb.Image(id=slot, layers=layers, promised=promised)))
