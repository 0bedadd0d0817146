import asyncio
import contextlib
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from overtone.benchmarks.link import lane, sockets
from overtone.benchmarks.link.air import Traffic
from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.rate import Rate, UnitError
from overtone.benchmarks.link.relay import run
from overtone.benchmarks.link.trace import Moment, Trace
from overtone.benchmarks.link.weather import Outage
from tests.benchmarks.virtual import virtually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for writer in writers:
            await closed(writer)


@contextlib.asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(link.host, link.port)
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """At once, and for good before the loop goes."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(4096):
        writer.write(piece)
        await writer.drain()


async def answer_at_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks only once the other side has finished speaking."""
    got = await reader.read()
    writer.write(b"got %d" % len(got))


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def send(writer: asyncio.StreamWriter, data: bytes, seed: int) -> None:
    """In pieces of any size, then half-close."""
    rng, at = random.Random(seed), 0
    while at < len(data):
        size = rng.choice([1, 7, 100, 1448, 5000, 70_000])
        writer.write(data[at : at + size])
        await writer.drain()
        at += size
    writer.write_eof()


@pytest.mark.parametrize("rate", ["20mbit", "unlimited"])
@pytest.mark.parametrize("size", [0, 1, 1448, 1449, 250_000])
async def test_bytes_come_back_unchanged_and_are_counted(rate: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with serving(echo) as target, Link(target, up=rate, down=rate, rtt=0.002) as link:
        async with connected(link) as (reader, writer):
            sender = asyncio.create_task(send(writer, data, size))
            assert await reader.read() == data
            await sender
        assert (link.total.up, link.total.down) == (size, size)
        assert [(c.up, c.down) for c in link.connections] == [(size, size)]


async def test_connections_share_the_link_and_are_counted_apart() -> None:
    sizes = [10, 4000, 20_000, 35_000]
    datas = [random.Random(n).randbytes(n) for n in sizes]

    async def one(data: bytes) -> bytes:
        async with connected(link) as (reader, writer):
            sender = asyncio.create_task(send(writer, data, len(data)))
            got = await reader.read()
            await sender
            return got

    async with serving(echo) as target, Link(target, up="10mbit", down="10mbit", rtt="1ms") as link:
        assert await asyncio.gather(*map(one, datas)) == datas
        assert sorted(c.up for c in link.connections) == sizes
        assert link.total.up == link.total.down == sum(sizes)
        assert len({c.peer for c in link.connections}) == len(sizes)
        await settled(lambda: link.open == 0)


async def test_half_close_leaves_the_way_back_open() -> None:
    async with serving(answer_at_end) as target, Link(target) as link:
        async with connected(link) as (reader, writer):
            writer.write(b"x" * 5000)
            writer.write_eof()
            assert await reader.read() == b"got 5000"
        assert (link.total.up, link.total.down) == (5000, 8)


async def test_a_slow_link_is_felt_as_back_pressure() -> None:
    offered = 4 << 20
    async with serving(hold) as target, Link(target, up="8kbit") as link, connected(link) as (_, writer):
        writer.write(bytes(offered))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.1)
        assert link.total.up < 10_000  # most still lies with the sender
        assert writer.transport.get_write_buffer_size() > 0


async def test_a_target_that_does_not_read_stops_only_its_own_connection() -> None:
    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"e":
            await echo(reader, writer)
        else:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(60)

    async with (
        serving(stubborn) as target,
        Link(target) as link,
        connected(link) as (_, deaf),
        connected(link) as (reader, writer),
    ):
        deaf.write(b"d" + bytes(32 << 20))
        await settled(lambda: link.total.up > 100_000)
        writer.write(b"ehello")
        async with asyncio.timeout(10):
            assert await reader.readexactly(5) == b"hello"


async def test_a_cut_resets_and_a_restored_link_carries_again() -> None:
    async with serving(echo) as target, Link(target) as link:
        async with connected(link) as (reader, writer):
            writer.write(b"a")
            await reader.readexactly(1)
            await link.cut()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        with pytest.raises(ConnectionResetError):
            async with connected(link) as (reader, writer):
                await reader.readexactly(1)
        link.restore()
        async with connected(link) as (reader, writer):
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"


async def test_a_silent_cut_holds_everything_back_and_then_lets_it_go_on() -> None:
    async with serving(echo) as target, Link(target) as link, connected(link) as (reader, writer):
        writer.write(b"a")
        await reader.readexactly(1)
        await link.cut(reset=False)
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        link.restore()
        async with asyncio.timeout(10):
            assert await reader.readexactly(1) == b"b"


async def test_a_reset_by_the_target_is_passed_on() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        # Unread bytes in the socket turn a close into a reset.
        await settled(lambda: link.total.up > 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(rude) as target, Link(target) as link, connected(link) as (reader, writer):
        writer.write(b"ab")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_no_target_is_a_reset() -> None:
    async with serving(echo) as target:
        pass
    async with Link(target) as link, connected(link) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_leaving_the_link_resets_what_is_open() -> None:
    async with serving(echo) as target, Link(target) as link:
        reader, writer = await asyncio.open_connection(link.host, link.port)
        writer.write(b"a")
        await reader.readexactly(1)
        await link.__aexit__(None, None, None)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await closed(writer)


async def test_pieces_enter_in_order_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole lane on a fake clock: times across are exactly those of the rate and the delay."""

    class FakeClock(lane.Clock):
        now = 0.0

        def time(self) -> float:
            return self.now

        async def until(self, moment: float) -> None:
            self.now = max(self.now, moment)

    clock = FakeClock()
    way = lane.Lane(Rate.parse("80kbit"), 0.3, clock)
    across = [(await way.enter(1000)).across for _ in range(50)]
    start = across[0]
    assert across == pytest.approx([start + 0.1 * n for n in range(50)])
    assert start == pytest.approx(0.4, abs=0.01)
    assert clock.now <= across[-1] - 0.3 - way._depth + 0.1 + 1e-9  # read no further ahead than the queue


@pytest.mark.parametrize(("per_connection", "shares"), [(False, 4), (True, 1)])
def test_a_modem_for_all_or_one_for_each(per_connection: bool, shares: int) -> None:
    """Four connections on a virtual clock: the last is done after four messages' time, or after one's."""
    size = 10 * 1448

    async def one(link: Link) -> float:
        async with connected(link) as (reader, writer):
            writer.write(bytes(size))
            writer.write_eof()
            await reader.read()
            return asyncio.get_running_loop().time()

    async def all_of_them() -> float:
        async with (
            serving(answer_at_end) as target,
            Link(target, up="80kbit", per_connection=per_connection) as link,
        ):
            return max(await asyncio.gather(*(one(link) for _ in range(4))))

    alone = Rate(80e3).seconds(10 * 1500)
    assert shares * alone <= virtually(all_of_them(), moment=0.005) <= (shares + 0.5) * alone


async def test_bytes_on_the_air_are_those_of_a_whole_connection() -> None:
    async with serving(answer_at_end) as target, Link(target, up="10mbit", down="10mbit") as link:
        async with connected(link) as (reader, writer):
            writer.write(bytes(1000))
            writer.write_eof()
            answer = await reader.read()
        await settled(lambda: link.open == 0)
    # SYN, its ACK, the message, the end, and perhaps ACKs of the answer and of its end.
    up = 60 + 52 + 1052 + 52
    assert up <= link.total.air_up <= up + 2 * 52
    down = 60 + 52 + len(answer) + 52
    assert down <= link.total.air_down <= down + 2 * 52


async def test_outages_come_and_go_on_their_own() -> None:
    async with serving(echo) as target, Link(target, outage=Outage(0.05, 0.05, reset=True)) as link:
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionResetError):
                async with connected(link) as (reader, _):
                    await reader.readexactly(1)
            while not link.total.down:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    async with connected(link) as (reader, writer):
                        writer.write(b"a")
                        await reader.readexactly(1)


def test_a_frozen_outage_only_delays() -> None:
    async def echoed(outage: Outage | None) -> float:
        async with (
            serving(echo) as target,
            Link(target, up="8kbit", outage=outage) as link,
            connected(link) as (reader, writer),
        ):
            writer.write(bytes(1000))
            await reader.readexactly(1000)
            return asyncio.get_running_loop().time()

    steady = virtually(echoed(None), moment=0.005)
    interrupted = virtually(echoed(Outage(0.5, 3.0)), moment=0.005)
    assert interrupted == pytest.approx(steady + 2 * 3.0, abs=0.1)


def test_a_recorded_link_is_as_slow_and_as_far_as_it_was() -> None:
    """Ten seconds of 8 Mbit/s with 0.2 s of round trip, then 8 kbit/s up with none."""
    trace = Trace((Moment(0, 8e6, 8e6, 0.2), Moment(10, 8e3, 8e6, 0.0)))

    async def echoed() -> list[float]:
        loop, took = asyncio.get_running_loop(), []
        async with (
            serving(echo) as target,
            Link(target, trace=trace) as link,
            connected(link) as (reader, writer),
        ):
            for _ in range(2):
                begun = loop.time()
                writer.write(bytes(1000))
                await reader.readexactly(1000)
                took.append(loop.time() - begun)
                await asyncio.sleep(10.0)
        return took

    fast, slow = virtually(echoed(), moment=0.005)
    assert fast == pytest.approx(2 * 0.2, abs=0.02)  # the handshake first
    assert slow == pytest.approx(1.052, abs=0.01)


def test_too_few_files_are_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    granted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: granted.append(limits))
    sockets.make_room(400)
    assert granted == [(1000, 1000)]
    with pytest.raises(OSError, match="ulimit"):
        sockets.make_room(500)


def test_a_trace_and_a_rate_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1:9", rate="1mbit", trace=Path("trace.csv")) == 1
    assert "leave out --rate" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["nowhere", "host:", "host:http", "host:99999"])
def test_an_address_without_a_port_is_refused(target: str) -> None:
    with pytest.raises(UnitError, match="HOST:PORT"):
        Link(target)


def test_a_negative_round_trip_is_refused() -> None:
    with pytest.raises(UnitError, match="round trip"):
        Link("h:1", rtt=-1.0)


def test_traffic_starts_at_nothing() -> None:
    assert (Traffic().up, Traffic().down, Traffic().air_up, Traffic().again) == (0, 0, 0, 0)


def test_the_command_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1:9", rate="quick") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_relays_until_interrupted() -> None:
    code = "from benchmarks.link import relay; exit(relay.run('127.0.0.1:9', rate='1mbit', rtt='50ms'))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "1 Mbit/s up, 1 Mbit/s down, 50 ms" in first
    assert "0 bytes up" in rest
    assert process.returncode == 0
