"""The devices of a soak: those that wait for answers, that give up, that vanish, and that send damaged payloads.

Each is a coroutine that goes on until it is cancelled. Everything random comes from the generator that it is given.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from overtone.benchmarks import http2
from overtone.benchmarks.faults.attacks import SESSION
from overtone.edge_client import AsyncClient, OvertoneError
from overtone.edge_client.encoding import EncodedImage
from overtone.edge_client.plan import Policy
from overtone.frequency.varint import write_varint
from overtone.protos import overtone_pb2 as pb

POLICIES: tuple[Policy, ...] = ("auto", "on_demand", "ahead", "at_once")
LAYERS = "application/vnd.overtone"
# Seconds between the images of a device, at most.
PAUSE = 0.2
# Images of one connection, at most.
IMAGES = 60
# Seconds that honest devices wait: they are here to see what is lost, not what is late. Hasty ones give up sooner than
# an answer can come.
PATIENCE, HASTE = 60.0, 0.03


@dataclass
class Target:
    """The server, the images that devices send to it, and their outcomes.

    Attributes:
        addresses: host:port by transport (`grpc`, `rest`).
        images: encoded images.
        files: the same images as JPEGs, PNGs or WebPs.
        counted: how many images had each outcome, by device and outcome.
        complaints: the errors that honest devices got instead of an answer.
    """

    addresses: dict[str, str]
    images: Sequence[EncodedImage]
    files: Sequence[Path]
    counted: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def client(self, scheme: str, policy: Policy, timeout: float = PATIENCE) -> AsyncClient:
        """A client of one of the transports."""
        host = self.addresses["grpc" if scheme == "grpc" else "rest"]
        return AsyncClient(f"{scheme}://{host}", policy=policy, timeout=timeout)

    def http(self) -> httpx.AsyncClient:
        """A plain HTTP client."""
        return httpx.AsyncClient(
            base_url=f"http://{self.addresses['rest']}", trust_env=False, timeout=PATIENCE
        )


Device = Callable[[Target, random.Random], Awaitable[None]]


async def session(target: Target, chance: random.Random) -> None:
    """Images of one gRPC session after the other, with any policy."""
    await _honest(target, chance, "grpc")


async def rest(target: Target, chance: random.Random) -> None:
    """Images over REST, with any policy."""
    await _honest(target, chance, "http")


async def picture(target: Target, chance: random.Random) -> None:
    """Posts image files."""
    async with target.http() as http:
        while True:
            body = await asyncio.to_thread(chance.choice(target.files).read_bytes)
            reply = await http.post("/v1/classify", content=body)
            if reply.status_code == 200:
                target.counted["picture answered"] += 1
            elif reply.status_code == 429:  # it is told to come again, and does
                target.counted["picture refused"] += 1
            else:
                _complain(target, f"picture: {reply.status_code} {reply.text}")
            await _pause(chance)


async def hasty(target: Target, chance: random.Random) -> None:
    """Gives images up: too short a deadline, or a cancelled call."""
    while True:
        try:
            async with target.client(chance.choice(("grpc", "http")), "auto") as client:
                for _ in range(chance.randint(1, IMAGES)):
                    task = asyncio.create_task(client.classify(chance.choice(target.images)))
                    try:
                        done, _ = await asyncio.wait([task], timeout=chance.uniform(0, HASTE))
                    finally:  # also when the soak ends
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                    target.counted["hasty answered" if done else "hasty gave up"] += 1
                    await _pause(chance)
        except OvertoneError:
            target.counted["hasty without a connection"] += 1
            await _pause(chance)


async def vanishing(target: Target, chance: random.Random) -> None:
    """Opens a session, sends an image or half of one, and is gone without a word."""
    host, _, port = target.addresses["grpc"].rpartition(":")
    while True:
        connection = await http2.Connection.open(host, int(port), "127.0.0.1")
        try:
            stream = connection.begin(SESSION)
            await connection.send(stream, _beginning(chance.choice(target.images), chance))
            await _pause(chance)
        finally:
            await connection.close()
        target.counted["vanished"] += 1


def _beginning(image: EncodedImage, chance: random.Random) -> bytes:
    """Hello and an image as gRPC messages, or a part of them."""
    first = pb.Image(id=1, layers=[image.encoded.layers[0]])
    messages = [pb.Upstream(hello=pb.Hello(profile_id=image.profile_id)), pb.Upstream(image=first)]
    data = b"".join(http2.message(message.SerializeToString()) for message in messages)
    return data[: chance.choice((len(data), chance.randrange(len(data))))]


async def garbage(target: Target, chance: random.Random) -> None:
    """Posts damaged payloads, cut ones, and noise."""
    async with target.http() as http:
        while True:
            payload = chance.choice(target.images).encoded.layers[0]
            body = bytearray(write_varint(len(payload)) + payload)
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
            del body[chance.randint(1, len(body)) :]
            path = chance.choice(("/v1/images", "/v1/classify", "/v1/images/none/layers"))
            reply = await http.post(path, content=bytes(body), headers={"content-type": LAYERS})
            target.counted[f"garbage heard {reply.status_code}"] += 1
            if reply.status_code >= 500:
                _complain(target, f"garbage: {reply.status_code} {reply.text}")
            await _pause(chance)


DEVICES: tuple[Device, ...] = (
    session,
    session,
    session,
    rest,
    rest,
    picture,
    hasty,
    hasty,
    vanishing,
    garbage,
)


async def _honest(target: Target, chance: random.Random, scheme: str) -> None:
    while True:
        try:
            async with target.client(scheme, chance.choice(POLICIES)) as client:
                for _ in range(chance.randint(1, IMAGES)):
                    await client.classify(chance.choice(target.images))
                    target.counted[f"{scheme} answered"] += 1
                    await _pause(chance)
        except OvertoneError as error:
            _complain(target, f"{scheme}: {error}")
            await _pause(chance)


def _complain(target: Target, what: str) -> None:
    target.counted["failed"] += 1
    target.complaints.append(what)


async def _pause(chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, PAUSE))
