"""A flow through a pair of shapers on a virtual clock: what arrives, when, and what both directions sent."""

import asyncio
import random
import socket

import pytest

from overtone.link.flow import Flow
from overtone.link.impairments import Jitter
from overtone.link.rate import MTU_PAYLOAD, Rate
from overtone.link.shaper import Clock, Shaper
from overtone.link.tcp_overhead import Count
from tests.link.virtual import virtually

RATE = Rate(80e3)  # a full segment of 1500 bytes takes 0.15 s
SEGMENT, RTT, BURST = 0.15, 0.4, 0.002

Arrivals = list[tuple[float, int]]


async def transfer(size: int, jitter: Jitter) -> tuple[Arrivals, Count, Count]:
    """Send `size` bytes up and half-close; how much had arrived when, and what both directions sent."""
    device, near = socket.socketpair()
    far, server = socket.socketpair()
    sockets = (device, near, far, server)
    for each in sockets:
        each.setblocking(False)
    clock, up, down = Clock(), Count(), Count()
    flow = Flow(near, far, Shaper(RATE, RTT / 2, clock), (up,), jitter)
    back = Flow(far, near, Shaper(RATE, RTT / 2, clock), (down,), Jitter())
    flow.reverse, back.reverse = back, flow
    loop = asyncio.get_running_loop()
    data, begun = random.Random(size).randbytes(size), loop.time()
    arrivals: Arrivals = []

    async def send() -> None:
        await loop.sock_sendall(device, data)
        device.shutdown(socket.SHUT_WR)

    async def receive() -> None:
        got = b""
        while piece := await loop.sock_recv(server, 1 << 16):
            got += piece
            arrivals.append((loop.time() - begun, len(got)))
        assert got == data
        server.shutdown(socket.SHUT_WR)

    async with asyncio.TaskGroup() as group:
        for job in (send(), receive(), flow.send(), flow.deliver(), back.send(), back.deliver()):
            group.create_task(job)
    for each in sockets:
        each.close()
    return arrivals, up, down


def test_segments_arrive_at_the_rate_of_bytes_on_the_wire() -> None:
    arrivals, up, down = virtually(transfer(10 * MTU_PAYLOAD, Jitter()))
    times = [time for time, _ in arrivals]
    assert times == pytest.approx([SEGMENT * n + RTT / 2 - BURST for n in range(1, 11)], abs=1e-6)
    assert (up.payload, up.wire) == (14_480, 15_052)  # ten full segments and the end
    assert (down.payload, down.wire) == (0, 12 * 52)  # eleven acknowledgements, and the end back


def test_jitter_delays_but_never_reorders() -> None:
    steady = {total: time for time, total in virtually(transfer(30 * MTU_PAYLOAD, Jitter()))[0]}
    uneven, up, _ = virtually(transfer(30 * MTU_PAYLOAD, Jitter(0.3, "1")))
    late = [time - steady[total] for time, total in uneven]
    assert max(late) > 0.05
    assert all(abs(by) <= 0.15 + 1e-6 for by in late)
    assert up.payload == 30 * MTU_PAYLOAD
    assert virtually(transfer(30 * MTU_PAYLOAD, Jitter(0.3, "1")))[0] == uneven
