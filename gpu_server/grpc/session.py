"""A session: the stream of one device, with many images in flight; messages come from an iterator, go to a function."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

from overtone.gpu_server import errors
from overtone.gpu_server.answer import Answer, NeedMore, Options
from overtone.gpu_server.arrival import CANCELLED, Arrival, Kind
from overtone.gpu_server.core import Core
from overtone.gpu_server.grpc import messages
from overtone.gpu_server.grpc.flight import Flight, overloaded_if_promised
from overtone.gpu_server.limits.fair_share import Peer
from overtone.gpu_server.service import Service
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.upload import Upload
from overtone.protos import overtone_pb2 as pb

log = logging.getLogger(__name__)

# Ids of finished images that are remembered, so that late chunks do not make the server ask for them again.
REMEMBERED = 256
# Messages that may wait for a device that does not read, before the session stops reading from it.
MAX_OUTGOING = 64

Send = Callable[[pb.Downstream], Awaitable[None]]


class Session:
    """Many images of one device, each answered as soon as possible.

    Args:
        service: what is served.
        send: sends a message to the device.
        owner: the client's name from `Service.admit`.

    Attributes:
        owner: the same.
        core: the core that judges the images; None before the welcome.
        model: NAME or NAME:VERSION by the hello; empty if it names none.
        abandoned: whether the device's messages ended without `End`. gRPC ends them so when a call is cancelled, now
            and then before it says that it is.
    """

    def __init__(self, service: Service, send: Send, owner: str = "") -> None:
        self._service = service
        self._settings = service.settings
        self._send = send
        self.owner = owner
        self._peer = Peer(owner, self)
        self._account = service.access.account(owner)
        self._last_message_at = asyncio.get_running_loop().time()
        self._core: Core
        self.core: Core | None = None
        self.model = ""
        self.abandoned = False
        self._options = pb.Options()
        self._flights: dict[int, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: OrderedDict[int, None] = OrderedDict()
        self._outgoing: asyncio.Queue[pb.Downstream | None] = asyncio.Queue()
        self._space = asyncio.Event()
        self._failure: errors.ServiceError | None = None
        self._leaving = False
        self._ended = False
        self._unnamed: set[int] = set()  # classes whose labels the device wants and has not got

    async def run(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        """Serve until the device ends the session, the server stops, or the stream breaks.

        Raises:
            ServiceError: the whole stream cannot go on; the failure of one image is a message instead.
        """
        with self._account.session(), self._service.track_session(self):
            await self._greet(upstream)
            reader = asyncio.create_task(self._read(upstream), name="overtone-session-reader")
            age = asyncio.get_running_loop().call_later(
                self._settings.session_age, self.go_away, "this session is old"
            )
            try:
                await self._write()
            finally:
                age.cancel()
                tasks = [reader, *self._tasks]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def go_away(self, reason: str) -> None:
        """Send go_away; images in flight are finished, new ones are refused."""
        if self._leaving:
            return
        self._leaving = True
        self._post(go_away=pb.GoAway(reason=reason))
        asyncio.get_running_loop().call_later(self._settings.linger, self._end)

    def idle(self) -> float:
        """Seconds since the device sent something; 0 while an image is in flight."""
        return 0.0 if self._flights else asyncio.get_running_loop().time() - self._last_message_at

    async def _greet(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        try:
            async with asyncio.timeout(self._settings.deadline):
                first = await anext(upstream)
        except StopAsyncIteration:
            raise errors.ClientDisconnected("the stream ended before hello") from None
        except TimeoutError:
            raise errors.Expired("no hello came") from None
        if first.WhichOneof("message") != "hello":
            raise errors.BadRequest("the first message must be hello")
        self._options = first.hello.options
        self.model = self._options.model
        split = self._service.resolve(self.model)
        core = self._core = self.core = split.pick(first.hello.profile_id)
        core.check(messages.options(self._options))
        if first.hello.profile_id not in (b"", core.profile.id):
            raise errors.WrongProfile(f"{core.name} has another profile; fetch it with DescribeModel")
        credits, version = self._settings.credits, core.version if self._service.several else ""
        if self._options.labels:
            self._unnamed.update(range(len(core.profile.labels)))
        welcome = pb.Welcome(profile_id=core.profile.id, credits=credits, model=core.name, version=version)
        if core.task.name != "classify":
            welcome.task = core.task.name
        self._post(welcome=welcome)

    async def _read(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        try:
            while (message := await _next(upstream)) is not None:
                while self._outgoing.qsize() >= MAX_OUTGOING:
                    self._space.clear()
                    await self._space.wait()
                self._handle(message)
                if pause := self._account.pause():
                    await asyncio.sleep(pause)
            self.abandoned = not self._ended
        except errors.ServiceError as error:
            self._fail(error)
        except Exception:
            log.exception("a session failed")
            self._fail(errors.ServiceError("something went wrong in the server; it has been logged"))
        finally:
            for flight in self._flights.values():
                flight.upload.fail(errors.ClientDisconnected("the stream ended before further layers came"))
            self._end()

    async def _write(self) -> None:
        while (message := await self._outgoing.get()) is not None:
            self._space.set()
            await self._send(message)
        if self._failure is not None:
            raise self._failure

    def _handle(self, message: pb.Upstream) -> None:
        self._last_message_at = asyncio.get_running_loop().time()
        match message.WhichOneof("message"):
            case "image":
                self._start(message.image)
            case "chunk":
                self._add_chunk(message.chunk)
            case "cancel":
                if flight := self._flights.get(message.cancel.id):
                    flight.task.cancel()
                    # Now rather than when the task ends, because the next message may use the credit again.
                    self._finish(message.cancel.id, flight)
            case "end":
                self._end()
            case "hello":
                raise errors.BadRequest("hello may come only once")
            case _:
                pass  # a message of a newer protocol

    def _start(self, image: pb.Image) -> None:
        arrival = self._service.arrive("grpc", Kind.IMAGE)
        try:
            self._check_image(image)
        except errors.ServiceError as error:
            arrival.end(error.code.name)
            self._post(error=messages.error(image.id, error))
            return
        finally:
            self._account.spend_bytes(sum(map(len, image.layers)))
        self._finished.pop(image.id, None)
        flight = self._flights[image.id] = self._new_flight(image)
        number = image.id
        flight.task = asyncio.create_task(
            self._serve(image, flight, arrival), name=f"overtone-image-{number}"
        )
        self._tasks.add(flight.task)
        # Not at the end of the task itself: a task that is cancelled before its first step never gets there.
        flight.task.add_done_callback(lambda _: arrival.end(CANCELLED))
        flight.task.add_done_callback(self._tasks.discard)
        flight.task.add_done_callback(lambda _: self._finish(number, flight))

    def _new_flight(self, image: pb.Image) -> Flight:
        given, limit = len(image.layers), self._settings.max_payload_bytes
        upload = Upload(self._service.store, self._peer, limit, given + 1, len(self._core.profile.ladder))
        return Flight(upload, max(image.promised, given))

    def _check_image(self, image: pb.Image) -> None:
        if self._leaving or self._ended:
            raise errors.Unavailable("this session is ending; open another one", retry_after=0.1)
        if image.id in self._flights:
            raise errors.BadRequest(f"image {image.id} is in flight already")
        if len(self._flights) >= self._settings.credits:
            raise errors.Overloaded(f"more than {self._settings.credits} images in flight", retry_after=0.1)
        self._account.take_image()

    def _add_chunk(self, chunk: pb.Chunk) -> None:
        self._account.spend_bytes(len(chunk.data))
        flight = self._flights.get(chunk.id)
        if flight is not None:
            flight.upload.add(chunk.layer, chunk.offset, chunk.data, chunk.last)
        elif chunk.id in self._finished:
            self._count_dropped(len(chunk.data))
        elif chunk.last:
            layers = min(max(chunk.layer, 1), len(self._core.profile.ladder))
            self._post(need_more=messages.again(chunk.id, layers))

    async def _serve(self, image: pb.Image, flight: Flight, arrival: Arrival) -> None:
        number = image.id
        logs.begin_part(number)
        try:
            with self._service.track_request("grpc", arrival):
                answering = self._answer(image, flight)
                # Only the coroutine holds the image now, and it lets go of it once the store knows it.
                del image
                answer = await answering
            self._post(answer=messages.answer(number, answer, self._unnamed))
            self._unnamed.difference_update(answer.classes)
        except errors.StateLost:
            self._post(need_more=messages.again(number, flight.wanted))
        except errors.ServiceError as error:
            self._post(error=messages.error(number, error))

    async def _answer(self, image: pb.Image, flight: Flight) -> Answer:
        number, options = image.id, messages.options(self._options, image)
        found = await self._core.judge(
            tuple(image.layers), options, promised=flight.promised, peer=self.owner
        )
        del image
        while not isinstance(found, Answer):
            self._ask(number, found, flight)
            # While further layers are awaited, only the store knows the image, and it may lose it.
            del found
            found = await self._resume(flight, options)
        return found

    def _ask(self, number: int, need: NeedMore, flight: Flight) -> None:
        """Store the image, and ask for the wanted layers unless they are promised or have arrived.

        Raises:
            ServiceError: there is no room to store the image, so that further layers would be useless.
        """
        flight.wanted = need.layers
        self._service.store.put(flight, self._peer, need)
        with overloaded_if_promised(flight):
            self._service.store.check(flight)
        if need.layers > flight.promised and not flight.upload.complete(need.layers):
            self._post(need_more=messages.need_more(number, need))
        flight.upload.request(need.layers)

    async def _resume(self, flight: Flight, options: Options) -> Answer | NeedMore:
        payloads = await self._further(flight, options)
        with overloaded_if_promised(flight):
            need = self._service.find(flight, sum(map(len, payloads)))
        return await self._core.judge(payloads, options, need, flight.promised, peer=self.owner)

    async def _further(self, flight: Flight, options: Options) -> tuple[bytes, ...]:
        limit = asyncio.get_running_loop().time() + self._service.store.ttl
        try:
            async with asyncio.timeout_at(min(limit, options.expires or limit)):
                return await flight.upload.payloads(flight.wanted)
        except TimeoutError:
            raise errors.Expired(f"layer {flight.wanted} did not come in time") from None

    def _finish(self, number: int, flight: Flight) -> None:
        """Free what an image in flight holds; no effect the second time."""
        if self._flights.get(number) is not flight:
            return
        del self._flights[number]
        self._count_dropped(flight.upload.unread)
        flight.upload.close()
        self._service.store.drop(flight)
        self._finished[number] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        if self._ended and not self._flights:
            self._outgoing.put_nowait(None)

    def _count_dropped(self, size: int) -> None:
        self._service.metrics.dropped.inc(size)

    def _end(self) -> None:
        """Accept no more images; the stream closes when the last one is answered."""
        self._ended = True
        if not self._flights:
            self._outgoing.put_nowait(None)

    def _fail(self, error: errors.ServiceError) -> None:
        """End the whole stream with an error."""
        self._failure = error
        self._outgoing.put_nowait(None)

    def _post(self, **message: object) -> None:
        self._outgoing.put_nowait(pb.Downstream(**message))  # type: ignore[arg-type]


async def _next(upstream: AsyncIterator[pb.Upstream]) -> pb.Upstream | None:
    """The next message; None at the end of the stream, and also when the connection breaks."""
    try:
        return await anext(upstream, None)
    except errors.ServiceError:
        raise
    except Exception:
        log.debug("a stream broke", exc_info=True)
        return None
