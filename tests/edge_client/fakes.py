"""Servers that do what a test tells them, on real sockets: one for gRPC, one for HTTP."""

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import grpc

from overtone.frequency import Profile, pack_part, part_of
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.edge_client.listening import listening

T = TypeVar("T")
Context: TypeAlias = grpc.aio.ServicerContext

CARD: dict[str, Any] = {"name": "tiny", "classes": [f"n{i:04}" for i in range(10)]}


class Stream:
    """One session as the fake server sees it."""

    def __init__(self, server: "FakeCascade", context: Context) -> None:
        self.server = server
        self.writing = asyncio.Lock()
        self.context = context
        self.in_flight: set[int] = set()
        self.named: set[int] = set()
        # The bytes of layers that came in chunks, by image and layer, and whether a layer is there.
        self.chunks: dict[tuple[int, int], bytes] = {}
        self.whole: dict[tuple[int, int], asyncio.Event] = {}
        self.endings: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    async def say(self, **message: Any) -> None:
        for kind in message.keys() & {"answer", "error"}:
            self.in_flight.discard(message[kind].id)
        # One write at a time, or the stream breaks.
        async with self.writing:
            await self.context.write(pb.Downstream(**message))

    async def answer(
        self, number: int, stage: pb.Stage = pb.STAGE_LOW, index: int = 3, layers: int | None = None
    ) -> None:
        made_of = layers or (2 if stage == pb.STAGE_HIGH else 1)
        top = [pb.Score(index=index, probability=0.75), pb.Score(index=1, probability=0.25)]
        if self.server.parts:
            for score in top:
                score.label = "" if score.index in self.named else f"class {score.index}"
            self.named |= {score.index for score in top}
        answer = pb.Answer(id=number, stage=stage, confident=True, top=top, layers=made_of)
        answer.queue_us, answer.compute_us = 1000, 2000
        await self.say(answer=answer)

    async def fail(self, number: int, **error: Any) -> None:
        await self.say(error=pb.Error(id=number, **error))

    async def detect(self, number: int, *found: pb.Detection, stage: pb.Stage = pb.STAGE_LOW) -> None:
        made_of = 2 if stage == pb.STAGE_HIGH else 1
        answer = pb.Answer(id=number, stage=stage, confident=True, detections=found, layers=made_of)
        answer.queue_us, answer.compute_us = 1000, 2000
        await self.say(answer=answer)

    async def need_more(
        self, number: int, layers: int = 2, *, again: bool = False, blocks: bytes = b""
    ) -> None:
        await self.say(need_more=pb.NeedMore(id=number, layers=layers, again=again, blocks=blocks))

    async def layer(self, number: int, layer: int = 2) -> bytes:
        """Wait until a layer has come in chunks."""
        await self.whole.setdefault((number, layer), asyncio.Event()).wait()
        return self.chunks[number, layer]

    def of_layer(self, layer: int = 2) -> list[bytes]:
        """What has come of a layer in chunks, image by image."""
        return [data for (_, came), data in self.chunks.items() if came == layer]

    def die(self) -> None:
        """End the stream as a broken connection would."""

        async def abort() -> None:
            await self.context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

        self.endings.put_nowait(abort)

    def take_chunk(self, chunk: pb.Chunk) -> None:
        assert len(chunk.data) <= 16 * 1024
        assert chunk.layer >= 2
        so_far = self.chunks.get((chunk.id, chunk.layer), b"") if chunk.offset else b""
        assert chunk.offset == len(so_far)
        self.chunks[chunk.id, chunk.layer] = so_far + chunk.data
        if chunk.last:
            self.whole.setdefault((chunk.id, chunk.layer), asyncio.Event()).set()


Behaviour = Callable[[Stream, pb.Image], Coroutine[Any, Any, None]]


async def confident(stream: Stream, image: pb.Image) -> None:
    await stream.answer(image.id)


async def escalating(stream: Stream, image: pb.Image) -> None:
    """Needs two layers."""
    if len(image.layers) < 2:
        if image.promised < 2:
            await stream.need_more(image.id)
        await stream.layer(image.id)
    await stream.answer(image.id, pb.STAGE_HIGH)


async def silent(stream: Stream, image: pb.Image) -> None:
    """Never answers."""


async def dying(stream: Stream, image: pb.Image) -> None:
    """Breaks off at once."""
    stream.die()


async def leaving_for_ever(stream: Stream, image: pb.Image) -> None:
    await stream.say(go_away=pb.GoAway(reason="draining"))


class FakeCascade(stubs.CascadeServicer):
    """Behaves differently in each session: the n-th behaviour is for the n-th session, the last for all others."""

    def __init__(self, profile: Profile, *behaviours: Behaviour) -> None:
        self.profile = profile
        self.card: dict[str, Any] = CARD
        self.task = ""
        self.behaviours = list(behaviours)
        self.credits = 4
        self.hellos: list[pb.Hello] = []
        self.images: list[pb.Image] = []
        self.cancels: list[int] = []
        self.refused = 0
        self.ends = 0
        self.described = 0
        self.parts = False  # whether it can send parts of its profile; a server of an earlier version cannot
        self.parted: list[pb.Part] = []
        self.metadata: list[dict[str, str]] = []
        self.welcomed = True
        self.streams: list[Stream] = []

    async def Session(self, requests: AsyncIterator[pb.Upstream], context: Context) -> None:  # noqa: N802
        behaviour = self.behaviours[min(len(self.hellos), len(self.behaviours) - 1)]
        self.metadata.append(dict(context.invocation_metadata()))
        await self.admit(context)
        hello = (await anext(requests)).hello
        self.hellos.append(hello)
        if hello.profile_id not in (b"", self.profile.id):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another profile")
        if not self.welcomed:
            await asyncio.sleep(60)
        stream = Stream(self, context)
        self.streams.append(stream)
        welcome = pb.Welcome(profile_id=self.profile.id, credits=self.credits, model=self.profile.name)
        welcome.task = self.task
        await stream.say(welcome=welcome)
        reader = asyncio.create_task(self._read(requests, stream, behaviour))
        reader.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # of a server that is stopped
        ending = asyncio.create_task(stream.endings.get())
        try:
            await asyncio.wait({reader, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                await ending.result()()
        finally:
            reader.cancel()
            ending.cancel()

    async def admit(self, context: Context) -> None:
        """Overridden by tests that refuse streams."""

    async def _read(self, requests: AsyncIterator[pb.Upstream], stream: Stream, behaviour: Behaviour) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for message in requests:
                match message.WhichOneof("message"):
                    case "image" if (
                        message.image.id not in stream.in_flight and len(stream.in_flight) >= self.credits
                    ):
                        self.refused += 1
                        await stream.say(error=pb.Error(id=message.image.id, code=8, message="no credit"))
                    case "image":
                        self.images.append(message.image)
                        stream.in_flight.add(message.image.id)
                        tasks.create_task(behaviour(stream, message.image))
                    case "chunk":
                        stream.take_chunk(message.chunk)
                    case "cancel":
                        self.cancels.append(message.cancel.id)
                        stream.in_flight.discard(message.cancel.id)
                    case "end":
                        self.ends += 1
                        return

    async def DescribeModel(self, request: pb.DescribeModelRequest, context: Context) -> pb.Model:  # noqa: N802
        self.described += 1
        if self.parts and request.HasField("part"):
            return await self.part(request.part)
        packed = self.profile.pack()
        return pb.Model(name="tiny", profile_id=self.profile.id, profile=packed, card=json.dumps(self.card))

    async def part(self, asked: pb.Part) -> pb.Model:
        """Overridden by tests in which parts come late or not at all."""
        self.parted.append(asked)
        quality = asked.quality if asked.HasField("quality") else None
        part = part_of(self.profile, quality, asked.layers or None)
        return pb.Model(profile_id=self.profile.id, part=pack_part(part, asked.after), exit_share=0.6)


@contextlib.asynccontextmanager
async def serve_grpc(cascade: FakeCascade, port: int = 0) -> AsyncIterator[str]:
    """The address of a server that runs it."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    stubs.add_CascadeServicer_to_server(cascade, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        await server.stop(0)


@dataclass
class Request:
    """One HTTP request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int] = ("", 0)


@dataclass
class Response:
    """The answer to a request."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"content-length": str(len(content)), "content-type": "application/json", **self.headers}
        if self.status == 304:
            content = b""
            del headers["content-length"]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode() + content


class Die(Exception):  # noqa: N818
    """Close the connection without an answer."""


async def hang(request: Request) -> Response:
    """Never answers."""
    await asyncio.sleep(60)
    raise Die


def rest_answer(stage: str = "low", index: int = 3, layers: int | None = None) -> Response:
    """An answer."""
    best = {"label": f"class {index}", "index": index}
    body = {
        **best,
        "confidence": 0.75,
        "stage": stage,
        "layers": layers or (2 if stage == "high" else 1),
        "confident": True,
        "top": [{**best, "probability": 0.75}],
        "model": "tiny",
        "timings": {"queue_ms": 1.0, "compute_ms": 2.0},
    }
    return Response(200, body)


def rest_detected(*found: dict[str, Any], stage: str = "low") -> Response:
    """What a detector has found."""
    body = {
        "task": "detect",
        "detections": found,
        "stage": stage,
        "layers": 2 if stage == "high" else 1,
        "confident": True,
        "model": "tiny",
        "timings": {"queue_ms": 1.0, "compute_ms": 2.0},
    }
    return Response(200, body)


def rest_error(status: int, code: str, **headers: str) -> Response:
    """An error in the server's own form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"error": {"code": code, "message": "as told"}}, named)


def rest_token(
    token: str = "t0-k_n", layers: int = 2, known: int = 1, blocks: bytes | None = None
) -> Response:
    """A request for further layers, of a detector in some blocks."""
    body: dict[str, Any] = {"token": token, "layers": layers, "layers_known": known, "expires_s": 5.0}
    if blocks is None:
        body["so_far"] = {"label": "class 3", "index": 3, "confidence": 0.4}
    else:
        body["blocks"] = base64.b64encode(blocks).decode()
    return Response(202, body)


Act = Callable[[Request], Awaitable[Response] | Response]


class FakeRest:
    """The n-th act answers the n-th post, the last one all others."""

    def __init__(self, profile: Profile, *acts: Act | Response) -> None:
        self.profile = profile
        self.acts = list(acts)
        self.gets: list[Request] = []
        self.parts = False
        self.posts: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            self.gets.append(request)
            return self._get(request)
        act = self.acts[min(len(self.posts), len(self.acts) - 1)]
        self.posts.append(request)
        if isinstance(act, Response):
            return act
        response = act(request)
        return response if isinstance(response, Response) else await response

    def _get(self, request: Request) -> Response:
        tag = {"etag": f'"{self.profile.id.hex()}"'}
        if request.path == "/v1/model":
            return Response(200, CARD)
        if request.path == "/readyz":
            return Response(200, "ready")
        if request.path == "/v1/labels":
            return Response(200, {"labels": self.profile.labels, "classes": CARD["classes"]})
        if request.path != "/v1/profile":
            return rest_error(404, "NOT_FOUND")
        if tag["etag"] in request.headers.get("if-none-match", ""):
            return Response(304, None, tag)
        if self.parts and "layers" in request.query:
            asked = {name: int(value) for name, value in request.query.items()}
            part = part_of(self.profile, asked.get("quality"), asked["layers"] or None)
            kind = {"content-type": "application/vnd.overtone.profile"}
            return Response(200, pack_part(part, asked["after"]), tag | kind)
        return Response(200, self.profile.to_json().encode(), tag)


@contextlib.asynccontextmanager
async def serve_rest(app: Callable[[Request], Awaitable[Response]], port: int = 0) -> AsyncIterator[str]:
    """The address of a server that runs it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await _request(reader)
                request.peer = writer.get_extra_info("peername")
                writer.write((await app(request)).encode())
                await writer.drain()
        except (Die, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async with listening(handle, port) as host:
        yield f"http://{host}"


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, parts.path, query, headers, body)


@contextlib.asynccontextmanager
async def serve(scheme: str, profile: Profile) -> AsyncIterator[str]:
    """A confident server of either kind."""
    if scheme == "grpc":
        async with serve_grpc(FakeCascade(profile, confident)) as address:
            yield address
    else:
        async with serve_rest(FakeRest(profile, rest_answer())) as address:
            yield address


@contextlib.contextmanager
def in_thread(server: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Run a server on an event loop in a thread, beside a test that is not asynchronous."""
    loop = asyncio.new_event_loop()
    ready: asyncio.Queue[T] = asyncio.Queue()
    stop = asyncio.Event()

    async def run() -> None:
        async with server as entered:
            ready.put_nowait(entered)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(ready.get(), loop).result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
