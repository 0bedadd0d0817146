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

import pytest

from overtone.link import Link, sockets
from overtone.link.impairments import Outage
from overtone.link.rate import Rate
from overtone.link.shaper import Clock, Shaper
from overtone.link.trace import Moment, Trace
from tests.edge_client.listening import listening
from tests.link.virtual import virtually
from tests.waiting import LATER, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    async with listening(handle) as address:
        yield address


@contextlib.asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(link.host, link.port)
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close without delay, and before the loop ends."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(4096):
        writer.write(piece)
        await writer.drain()


async def answer_at_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only once the other side has closed its direction."""
    got = await reader.read()
    writer.write(b"got %d" % len(got))


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = b"a") -> None:
    writer.write(data)
    async with asyncio.timeout(LATER):
        assert await reader.readexactly(len(data)) == data


async def exchange(link: Link, data: bytes) -> bytes:
    """Send data in pieces of any size, half-close, and read everything that comes back."""
    rng = random.Random(len(data))

    async def send(writer: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            size = rng.choice([1, 7, 100, 1448, 5000, 70_000])
            writer.write(data[at : at + size])
            await writer.drain()
            at += size
        writer.write_eof()

    async with connected(link) as (reader, writer):
        got, _ = await asyncio.gather(reader.read(), send(writer))
        return got


@pytest.mark.parametrize("rate", ["20mbit", "unlimited"])
@pytest.mark.parametrize("size", [0, 1, 1448, 1449, 250_000])
async def test_bytes_come_back_unchanged_and_are_counted(rate: str, size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with serving(echo) as target, Link(target, up=rate, down=rate, rtt=0.002) as link:
        assert await exchange(link, data) == data
        assert await link.settled(0.01) == (size, size)
        assert [(c.up, c.down) for c in link.connections] == [(size, size)]


async def test_connections_share_the_link_and_are_counted_separately() -> None:
    sizes = [10, 4000, 20_000, 35_000]
    datas = [random.Random(n).randbytes(n) for n in sizes]
    async with serving(echo) as target, Link(target, up="10mbit", down="10mbit", rtt="1ms") as link:
        assert await asyncio.gather(*(exchange(link, data) for data in datas)) == datas
        assert sorted(c.up for c in link.connections) == sizes
        assert link.total.up == link.total.down == sum(sizes)
        assert len({c.peer for c in link.connections}) == len(sizes)
        await until(lambda: link.open == 0)


async def test_half_close_leaves_the_way_back_open() -> None:
    async with serving(answer_at_end) as target, Link(target) as link:
        assert await exchange(link, bytes(5000)) == b"got 5000"
        assert (link.total.up, link.total.down) == (5000, 8)


async def test_a_slow_link_is_felt_as_back_pressure() -> None:
    async with (
        serving(answer_at_end) as target,
        Link(target, up="8kbit") as link,
        connected(link) as (_, writer),
    ):
        writer.write(bytes(4 << 20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.1)
        assert link.total.up < 10_000  # most is still with the sender
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
        connected(link) as (_, unread),
        connected(link) as (reader, writer),
    ):
        unread.write(b"d" + bytes(32 << 20))
        await until(lambda: link.total.up > 100_000)
        writer.write(b"e")
        await echoed(reader, writer, b"hello")


async def test_a_cut_resets_and_a_restored_link_carries_again() -> None:
    async with serving(echo) as target, Link(target) as link:
        async with connected(link) as (reader, writer):
            await echoed(reader, writer)
            await link.cut()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        with pytest.raises(ConnectionResetError):
            async with connected(link) as (reader, writer):
                await reader.readexactly(1)
        link.restore()
        async with connected(link) as streams:
            await echoed(*streams)


async def test_a_frozen_link_holds_everything_back_and_then_continues() -> None:
    async with serving(echo) as target, Link(target) as link, connected(link) as (reader, writer):
        await echoed(reader, writer)
        await link.cut(reset=False)
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        link.restore()
        async with asyncio.timeout(LATER):
            assert await reader.readexactly(1) == b"b"


async def test_a_reset_by_the_target_is_passed_on() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
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
    async with serving(echo) as target, contextlib.AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link(target))
        reader, writer = await asyncio.open_connection(link.host, link.port)
        await echoed(reader, writer)
        await stack.aclose()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await closed(writer)


def test_pieces_are_sent_in_order_at_the_rate() -> None:
    async def sent() -> tuple[list[float], float, Shaper]:
        shaper = Shaper(Rate.parse("80kbit"), 0.3, Clock())
        arrivals = [(await shaper.send(1000)).arrives for _ in range(50)]
        return arrivals, asyncio.get_running_loop().time(), shaper

    arrivals, now, shaper = virtually(sent())
    assert arrivals == pytest.approx([arrivals[0] + 0.1 * n for n in range(50)])
    assert arrivals[0] == pytest.approx(0.4, abs=0.01)
    assert now <= arrivals[-1] - 0.3 - shaper.depth + 0.1 + 1e-9  # no further ahead than the queue is deep


@pytest.mark.parametrize(("per_connection", "shares"), [(False, 4), (True, 1)])
def test_one_modem_for_all_or_one_for_each(per_connection: bool, shares: int) -> None:
    """Four connections on a virtual clock: the last ends after four messages' time, or after one's."""

    async def four_messages() -> float:
        async with (
            serving(answer_at_end) as target,
            Link(target, up="80kbit", per_connection=per_connection) as link,
        ):
            await asyncio.gather(*(exchange(link, bytes(5 * 1448)) for _ in range(4)))
            return asyncio.get_running_loop().time()

    alone = Rate(80e3).seconds(5 * 1500)
    assert shares * alone <= virtually(four_messages(), moment=0.05) <= (shares + 0.5) * alone


async def test_bytes_on_the_wire_are_those_of_a_whole_connection() -> None:
    async with serving(answer_at_end) as target, Link(target, up="10mbit", down="10mbit") as link:
        answer = await exchange(link, bytes(1000))
        await until(lambda: link.open == 0)
    # SYN, its ACK, the message, the end, and possibly ACKs of the answer and of its end. The message may be cut.
    up = 60 + 52 + 1052 + 52
    assert up <= link.total.upwards.wire <= up + 12 * 52
    down = 60 + 52 + len(answer) + 52
    assert down <= link.total.downwards.wire <= down + 12 * 52


def test_outages_come_and_go() -> None:
    async def attempts() -> list[bool]:
        """Whether the link carries anything, once a second."""
        found = []
        async with serving(echo) as target, Link(target, outage=Outage(2.5, 2.2, reset=True)) as link:
            for _ in range(9):
                try:
                    async with connected(link) as streams:
                        await echoed(*streams)
                    found.append(True)
                except (ConnectionError, asyncio.IncompleteReadError):
                    found.append(False)
                await asyncio.sleep(1.0)
        return found

    assert virtually(attempts(), moment=0.05) == [True] * 3 + [False] * 2 + [True] * 3 + [False]


def test_a_frozen_outage_only_delays() -> None:
    async def timed(outage: Outage | None) -> float:
        async with (
            serving(echo) as target,
            Link(target, up="8kbit", outage=outage) as link,
            connected(link) as (reader, writer),
        ):
            await echoed(reader, writer, bytes(1000))
            return asyncio.get_running_loop().time()

    steady = virtually(timed(None), moment=0.05)
    interrupted = virtually(timed(Outage(0.5, 3.0)), moment=0.05)
    assert interrupted == pytest.approx(steady + 2 * 3.0, abs=0.1)


def test_a_recorded_link_has_its_rates_and_round_trips() -> None:
    """Ten seconds of 8 Mbit/s with 0.2 s of round trip, then 8 kbit/s up with none."""
    trace = Trace((Moment(0, 8e6, 8e6, 0.2), Moment(10, 8e3, 8e6, 0.0)))

    async def timed() -> list[float]:
        loop, took = asyncio.get_running_loop(), []
        async with (
            serving(echo) as target,
            Link(target, trace=trace) as link,
            connected(link) as (reader, writer),
        ):
            for _ in range(2):
                begun = loop.time()
                await echoed(reader, writer, bytes(1000))
                took.append(loop.time() - begun)
                await asyncio.sleep(10.0)
        return took

    fast, slow = virtually(timed(), moment=0.05)
    assert fast == pytest.approx(2 * 0.2, abs=0.02)  # the handshake first
    assert slow == pytest.approx(1.052, abs=0.01)


def test_too_few_files_are_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    granted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: granted.append(limits))
    sockets.raise_file_limit(400)
    assert granted == [(1000, 1000)]
    with pytest.raises(OSError, match="ulimit"):
        sockets.raise_file_limit(500)


def test_the_command_relays_until_interrupted() -> None:
    command = ["link", "--to", "127.0.0.1:9", "--rate", "1mbit", "--rtt", "50ms"]
    with subprocess.Popen(
        [sys.executable, "-m", "overtone", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "1 Mbit/s up, 1 Mbit/s down, 50 ms" in first
    assert "0 bytes up" in rest
    assert process.returncode == 0
