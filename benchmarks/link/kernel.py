"""Our link against the kernel's: the same bytes through `Link` and through two namespaces shaped by `tc` tbf.

    python -m overtone.benchmarks.link.kernel

Both are given the same rate and count IP bytes. Each transfer begins with a lead that uses up what an idle
bucket has saved, and the time is from the lead's last byte to the transfer's, both seen by the receiver; so
bursts and handshakes are left out, and the rate is what is compared. Transfers below 50 ms are not made:
there a millisecond of the event loop's is what one would see.
"""

import asyncio
import socket
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from overtone.benchmarks.link.air import on_air
from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.namespaces import ADDRESSES, NamespaceError, Namespaces, burst
from overtone.benchmarks.link.rate import MTU_PAYLOAD, Rate

RATES = tuple(map(Rate.parse, ("60kbit", "300kbit", "1mbit", "3mbit", "10mbit")))
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
SHORTEST, LONGEST = 0.05, 6.0
TOLERANCE = 0.05
REPEATS = 5
OFTEN_BELOW = 0.5  # seconds: three times as often, because another program's turn weighs more there
# What is still on the way when the last byte has come: acknowledgements and the end of the connection.
SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Crossing:
    """What one transfer took.

    Attributes:
        seconds: from the lead's last byte to the transfer's.
        up: bytes on the air from the sender, lead and handshake with them.
        down: bytes on the air back.
    """

    seconds: float
    up: int
    down: int


@dataclass(frozen=True)
class Comparison:
    """One rate and size, each figure the median of all repeats."""

    rate: Rate
    size: int
    kernel: Crossing
    ours: Crossing

    @property
    def ratio(self) -> float:
        """Our seconds over the kernel's."""
        return self.ours.seconds / self.kernel.seconds

    @property
    def near(self) -> bool:
        """Whether that is within the tolerance."""
        return abs(self.ratio - 1) <= TOLERANCE


def lead(rate: Rate) -> int:
    """Bytes ahead of a transfer: whole segments, more than an idle bucket lets through at once."""
    return MTU_PAYLOAD * (burst(rate) // MTU_PAYLOAD + 1)


def plan() -> Iterator[tuple[Rate, int]]:
    """All rates, each with the sizes that are neither too short to time nor too long to wait for."""
    for rate in RATES:
        for size in SIZES:
            if SHORTEST <= rate.seconds(on_air(size)) <= LONGEST:
                yield rate, size


def median(crossings: list[Crossing]) -> Crossing:
    """Of each figure."""
    return Crossing(
        statistics.median(c.seconds for c in crossings),
        round(statistics.median(c.up for c in crossings)),
        round(statistics.median(c.down for c in crossings)),
    )


async def through_kernel(machines: Namespaces, rate: Rate, size: int) -> Crossing:
    """One transfer from device to server, as tbf lets it."""
    before = machines.sent("device"), machines.sent("server")
    with machines.socket("server") as listener, machines.socket("device") as device:
        listener.bind((ADDRESSES["server"], 0))
        listener.listen()
        loop = asyncio.get_running_loop()
        await loop.sock_connect(device, listener.getsockname())
        server, _ = await loop.sock_accept(listener)
        with server:
            seconds = await _timed(device, server, lead(rate), size)
    await asyncio.sleep(SETTLE_SECONDS)
    return Crossing(seconds, machines.sent("device") - before[0], machines.sent("server") - before[1])


async def through_link(rate: Rate, size: int) -> Crossing:
    """The same through a `Link` on this machine's loopback."""
    loop = asyncio.get_running_loop()
    with _socket() as listener, _socket() as device:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with Link("{}:{}".format(*listener.getsockname()), up=rate, down=rate) as link:
            await loop.sock_connect(device, (link.host, link.port))
            server, _ = await loop.sock_accept(listener)
            with server:
                seconds = await _timed(device, server, lead(rate), size)
            device.close()
            await asyncio.sleep(SETTLE_SECONDS)
            return Crossing(seconds, link.total.air_up, link.total.air_down)


async def _timed(sender: socket.socket, receiver: socket.socket, ahead: int, size: int) -> float:
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(loop.sock_sendall(sender, bytes(ahead + size)))
    await _received(receiver, ahead)
    begun = loop.time()
    await _received(receiver, size)
    seconds = loop.time() - begun
    await sending
    return seconds


async def _received(receiver: socket.socket, size: int) -> None:
    while size:
        piece = await asyncio.get_running_loop().sock_recv(receiver, min(size, 1 << 16))
        if not piece:
            raise ConnectionError("the sender left in the middle of a transfer")
        size -= len(piece)


def _socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


async def compare(machines: Namespaces, rate: Rate, size: int, repeats: int) -> Comparison:
    """Kernel and link side by side, so that what else the machine does hits both."""
    machines.shape(rate)
    short = rate.seconds(on_air(size)) < OFTEN_BELOW
    pairs = [
        await asyncio.gather(through_kernel(machines, rate, size), through_link(rate, size))
        for _ in range(3 * repeats if short else repeats)
    ]
    return Comparison(rate, size, median([k for k, _ in pairs]), median([o for _, o in pairs]))


def table(comparisons: list[Comparison]) -> Table:
    """For people; ratios are ours over the kernel's."""
    made = Table(box=None, header_style="bold")
    for heading in ("rate", "bytes", "kernel", "link", "ratio", "", "air up", "ratio", "air down", "ratio"):
        made.add_column(heading, justify="right")
    for c in comparisons:
        made.add_row(
            str(c.rate),
            f"{c.size:,}",
            f"{c.kernel.seconds * 1e3:,.1f} ms",
            f"{c.ours.seconds * 1e3:,.1f} ms",
            f"{c.ratio:.3f}",
            "" if c.near else "off",
            f"{c.kernel.up:,}",
            f"{c.ours.up / c.kernel.up:.3f}",
            f"{c.kernel.down:,}",
            f"{c.ours.down / c.kernel.down:.2f}",
        )
    return made


def run(repeats: int = REPEATS) -> int:
    """Compare all rates and sizes and print the table.

    Returns:
        The exit code: zero only if every time is within the tolerance.
    """
    console = Console(width=110)
    steps = list(plan())
    comparisons: list[Comparison] = []
    try:
        with Namespaces() as machines, Progress(console=Console(stderr=True), transient=True) as progress:
            for rate, size in progress.track(steps, description="kernel and link"):
                comparisons.append(asyncio.run(compare(machines, rate, size, repeats)))
    except NamespaceError as error:
        Console(stderr=True).print(f"kernel: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    console.print(table(comparisons))
    off = sum(not c.near for c in comparisons)
    worst = max(abs(c.ratio - 1) for c in comparisons)
    console.print(
        f"{len(comparisons)} transfers, {off} more than {TOLERANCE:.0%} off; the worst is {worst:.1%} off. "
        f"Each is the median of {repeats}, short ones of {3 * repeats}; "
        "air is bytes of IP, the kernel's counted and ours estimated."
    )
    return 1 if off else 0


def main(repeats: int = typer.Option(REPEATS, min=1, help="Transfers of each rate and size.")) -> None:
    """Our link's times against the kernel's own shaping; needs root and iproute2."""
    raise typer.Exit(run(repeats))


if __name__ == "__main__":
    typer.run(main)
