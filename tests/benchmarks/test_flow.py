"""Flows over a pair of lanes on a virtual clock: what arrives, when, and how often it was sent."""

import asyncio
import random
import socket
from collections.abc import Iterable

import pytest

from overtone.benchmarks.link.air import Count
from overtone.benchmarks.link.flow import Flow
from overtone.benchmarks.link.lane import Clock, Lane
from overtone.benchmarks.link.rate import MTU_PAYLOAD, UNLIMITED, Rate
from overtone.benchmarks.link.weather import Luck
from tests.benchmarks.virtual import virtually

RATE = Rate(80e3)  # a full segment of 1500 bytes takes 0.15 s
SEGMENT = 0.15
RTT = 0.4
BURST = 0.002


class Scripted(Luck):
    """Loses the segments it is told to, counted from zero as they are sent, the repeated ones too."""

    def __init__(self, *lost: int) -> None:
        super().__init__()
        self._lost, self._sent = lost, -1

    def loses(self) -> bool:
        self._sent += 1
        return self._sent in self._lost


Arrivals = list[tuple[float, int]]


async def transfer(
    size: int, luck: Luck, rate: Rate = RATE, pause_after: Iterable[int] = ()
) -> tuple[Arrivals, Count, Count]:
    """Send `size` bytes up a link and half-close; what had arrived when, and what both directions sent."""
    device, near = socket.socketpair()
    far, server = socket.socketpair()
    sockets = (device, near, far, server)
    for each in sockets:
        each.setblocking(False)
    clock = Clock()
    lanes = Lane(rate, RTT / 2, clock), Lane(rate, RTT / 2, clock)
    up, down = Count(), Count()
    flow = Flow(near, far, lanes[0], (up,), luck, RTT)
    back = Flow(far, near, lanes[1], (down,), Luck(), RTT)
    flow.answering, back.answering = back, flow
    loop = asyncio.get_running_loop()
    data = random.Random(size).randbytes(size)
    begun = loop.time()
    arrivals: Arrivals = []

    async def send() -> None:
        at = 0
        for end in (*pause_after, size):
            await loop.sock_sendall(device, data[at:end])
            await asyncio.sleep(5.0 if end < size else 0.0)
            at = end
        device.shutdown(socket.SHUT_WR)

    async def receive() -> None:
        got = b""
        while piece := await loop.sock_recv(server, 1 << 16):
            got += piece
            arrivals.append((loop.time() - begun, len(got)))
        assert got == data
        server.shutdown(socket.SHUT_WR)

    async with asyncio.TaskGroup() as group:
        for job in (send(), receive(), flow.take(), flow.give(), back.take(), back.give()):
            group.create_task(job)
    for each in sockets:
        each.close()
    return arrivals, up, down


def test_segments_arrive_at_the_rate_of_bytes_on_the_air() -> None:
    arrivals, up, down = virtually(transfer(10 * MTU_PAYLOAD, Luck()))
    times = [time for time, _ in arrivals]
    assert times == pytest.approx([SEGMENT * n + RTT / 2 - BURST for n in range(1, 11)], abs=1e-6)
    assert (up.payload, up.air, up.again) == (14_480, 15_052, 0)  # ten full segments and the end
    assert (down.payload, down.air) == (0, 12 * 52)  # eleven acknowledgements, and the end back


def test_a_lost_segment_stalls_all_behind_it_until_three_others_have_told_of_it() -> None:
    arrivals, up, _ = virtually(transfer(10 * MTU_PAYLOAD, Scripted(2)))
    times = dict(arrivals)
    third_behind = SEGMENT * 6 - BURST + RTT / 2  # of the lost one, which was the third
    noticed = third_behind + RTT / 2
    # It queues behind at most the few segments that the modem holds already.
    stalled = [time for time in times if time > SEGMENT * 2 + RTT / 2]
    assert noticed + SEGMENT + RTT / 2 <= stalled[0] <= noticed + 6 * SEGMENT + RTT / 2
    assert times[stalled[0]] >= 6 * MTU_PAYLOAD  # with it comes what had waited
    assert up.again == 1
    assert up.air == 15_052 + 1500


def test_with_nothing_behind_it_a_loss_waits_for_the_timeout() -> None:
    arrivals, up, _ = virtually(transfer(2000, Scripted(0), pause_after=(1000,)))
    took = 1052 * 8 / RATE.bits
    timeout = RTT + 4 * RTT / 2  # from the handshake alone, RFC 6298
    assert arrivals[0][0] == pytest.approx(timeout + took + RTT / 2, abs=BURST + 1e-6)
    assert up.again == 1


def test_lost_again_it_waits_twice_as_long() -> None:
    once, _, _ = virtually(transfer(2000, Scripted(0), pause_after=(1000,)))
    twice, up, _ = virtually(transfer(2000, Scripted(0, 1), pause_after=(1000,)))
    timeout = RTT + 4 * RTT / 2
    assert twice[0][0] - once[0][0] == pytest.approx(2 * timeout, abs=2 * BURST)
    assert up.again == 2


def test_loss_on_an_unshaped_link_is_of_segments_too() -> None:
    _, up, _ = virtually(transfer(100 * MTU_PAYLOAD, Luck(loss=0.1, seed="1"), UNLIMITED))
    assert 1 <= up.again <= 30
    assert up.air == 100 * 1500 + 52 + up.again * 1500


def test_jitter_delays_but_never_reorders() -> None:
    even, _, _ = virtually(transfer(30 * MTU_PAYLOAD, Luck()))
    uneven, up, _ = virtually(transfer(30 * MTU_PAYLOAD, Luck(jitter=0.3, seed="1")))
    steady = {total: time for time, total in even}
    late = [time - steady[total] for time, total in uneven]
    assert max(late) > 0.05
    assert all(abs(by) <= 0.15 + 1e-6 for by in late)
    assert up.payload == 30 * MTU_PAYLOAD


def test_the_same_seed_gives_the_same_times() -> None:
    def run(seed: str) -> Arrivals:
        return virtually(transfer(40 * MTU_PAYLOAD, Luck(0.2, 0.1, seed)))[0]

    assert run("7") == run("7")
    assert run("7") != run("8")
