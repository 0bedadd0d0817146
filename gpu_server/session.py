"""One device's stream, without the transport: messages come from an iterator and go to a function."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from overtone.gpu_server import messages
from overtone.gpu_server.answer import Answer, Options
from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import (
    BadRequest,
    ClientDisconnected,
    Expired,
    Overloaded,
    ServiceError,
    StateLost,
    Unavailable,
    WrongProfile,
)
from overtone.gpu_server.service import Service
from overtone.gpu_server.state import PendingImage
from overtone.gpu_server.upload import Upload
from overtone.protos import overtone_pb2 as pb

log = logging.getLogger(__name__)

# Ids of images that are done, remembered so that their late chunks are not taken for lost state.
REMEMBERED = 256
# Messages that may wait for a device that does not read, before its own are no longer read.
BACKLOG = 64

Send = Callable[[pb.Downstream], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Flight:
    upload: Upload
    task: asyncio.Task[None] = field(init=False)
    remember: bool = True


class Session:
    """Many images of one device, each answered as soon as it can be.

    Args:
        service: what answers.
        send: takes a message to the device.
    """

    def __init__(self, service: Service, send: Send) -> None:
        self._service = service
        self._settings = service.settings
        self._send = send
        self._core: Core
        self._options = pb.Options()
        self._flights: dict[int, _Flight] = {}
        self._done: OrderedDict[int, None] = OrderedDict()
        self._outgoing: asyncio.Queue[pb.Downstream | None] = asyncio.Queue()
        self._space = asyncio.Event()
        self._failure: ServiceError | None = None
        self._leaving = False
        self._ended = False

    async def run(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        """Serve until the device ends, the server stops, or the stream breaks.

        Raises:
            ServiceError: the stream as a whole cannot go on; failures of one image are messages.
        """
        with self._service.track_session(self):
            await self._greet(upstream)
            reader = asyncio.create_task(self._read(upstream), name="overtone-session-reader")
            age = asyncio.get_running_loop().call_later(
                self._settings.session_age, self.go_away, "this session is old"
            )
            try:
                await self._write()
            finally:
                age.cancel()
                await self._close(reader)

    def go_away(self, reason: str) -> None:
        """Finish what is in flight and refuse the rest, giving the device a moment to hear of it."""
        if self._leaving:
            return
        self._leaving = True
        self._say(go_away=pb.GoAway(reason=reason))
        asyncio.get_running_loop().call_later(self._settings.linger, self._end)

    async def _greet(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        try:
            async with asyncio.timeout(self._settings.deadline):
                first = await anext(upstream)
        except StopAsyncIteration:
            raise ClientDisconnected("the stream ended before hello") from None
        except TimeoutError:
            raise Expired("no hello came") from None
        if first.WhichOneof("message") != "hello":
            raise BadRequest("the first message must be hello")
        core = self._core = self._service.core
        self._options = first.hello.options
        core.check(self._read_options())
        if first.hello.profile_id not in (b"", core.profile.id):
            raise WrongProfile(f"{core.card.name} has another profile; fetch it with DescribeModel")
        self._say(
            welcome=pb.Welcome(
                profile_id=core.profile.id, credits=self._settings.credits, model=core.card.name
            )
        )

    async def _read(self, upstream: AsyncIterator[pb.Upstream]) -> None:
        try:
            async for message in upstream:
                while self._outgoing.qsize() >= BACKLOG:
                    self._space.clear()
                    await self._space.wait()
                self._take(message)
        except ServiceError as error:
            self._failure = error
            self._outgoing.put_nowait(None)
        except Exception:
            log.debug("a stream broke", exc_info=True)
        finally:
            for flight in self._flights.values():
                flight.upload.fail(ClientDisconnected("the stream ended before high came"))
            self._end()

    async def _write(self) -> None:
        while (message := await self._outgoing.get()) is not None:
            self._space.set()
            await self._send(message)
        if self._failure is not None:
            raise self._failure

    async def _close(self, reader: asyncio.Task[None]) -> None:
        tasks = [reader, *(flight.task for flight in self._flights.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, message: pb.Upstream) -> None:
        match message.WhichOneof("message"):
            case "image":
                self._take_image(message.image)
            case "high":
                self._take_chunk(message.high)
            case "cancel":
                if flight := self._flights.get(message.cancel.id):
                    flight.task.cancel()
            case "end":
                self._end()
            case "hello":
                raise BadRequest("hello may come only once")
            case _:
                pass  # of a newer protocol; what is not understood is passed over

    def _take_image(self, image: pb.Image) -> None:
        try:
            self._check_image(image)
        except ServiceError as error:
            self._say(error=messages.error(image.id, error))
            return
        self._done.pop(image.id, None)
        flight = self._flights[image.id] = _Flight(
            Upload(self._service.store, self._settings.max_payload_bytes)
        )
        number = image.id
        flight.task = asyncio.create_task(self._serve(image, flight), name=f"overtone-image-{number}")
        # Not in the task's own finally: one cancelled before its first step never enters it.
        flight.task.add_done_callback(lambda _: self._finish(number, flight))

    def _check_image(self, image: pb.Image) -> None:
        if self._leaving or self._ended:
            raise Unavailable("this session is ending; open another one", retry_after=0.1)
        if image.id in self._flights:
            raise BadRequest(f"image {image.id} is in flight already")
        if len(self._flights) >= self._settings.credits:
            raise Overloaded(f"more than {self._settings.credits} images in flight", retry_after=0.1)

    def _take_chunk(self, chunk: pb.HighChunk) -> None:
        flight = self._flights.get(chunk.id)
        if flight is not None:
            flight.upload.add(chunk.offset, chunk.data, chunk.last)
        elif chunk.id in self._done:
            self._count_dropped(len(chunk.data))
        elif chunk.last:
            self._say(need_high=pb.NeedHigh(id=chunk.id, send_both=True))

    async def _serve(self, image: pb.Image, flight: _Flight) -> None:
        number = image.id
        try:
            with self._service.track_request("grpc"):
                answering = self._answer(image, flight.upload)
                # The coroutine has it now, and lets it go as soon as the store holds it.
                del image
                answer = await answering
            self._say(answer=messages.answer(number, answer))
        except StateLost:
            self._say(need_high=pb.NeedHigh(id=number, send_both=True))
            flight.remember = False
        except ServiceError as error:
            self._say(error=messages.error(number, error))

    async def _answer(self, image: pb.Image, upload: Upload) -> Answer:
        number, low, both, options = image.id, image.low, image.high_follows, self._read_options()
        result = await self._core.low(low, options, both)
        if isinstance(result, Answer):
            return result
        # From here on the store alone holds the low payload, and may lose it.
        self._service.store.put((self, number), PendingImage(low, result))
        # Nor need it be asked for if it has come unasked while low was computed.
        if not both and not upload.complete:
            self._say(need_high=messages.need_high(number, result))
        del image, low, result
        high = await self._whole(upload, options)
        try:
            kept = self._service.find((self, number), len(high))
        except StateLost:
            if not both:
                raise
            raise Overloaded(
                "the server has no room for unfinished images; try again later", retry_after=1.0
            ) from None
        return await self._core.high(kept.low, high, options, kept.need)

    async def _whole(self, upload: Upload, options: Options) -> bytes:
        limit = asyncio.get_running_loop().time() + self._service.store.ttl
        try:
            async with asyncio.timeout_at(min(limit, options.expires or limit)):
                return await upload.whole()
        except TimeoutError:
            raise Expired("high did not come in time") from None

    def _finish(self, number: int, flight: _Flight) -> None:
        self._count_dropped(flight.upload.unread)
        flight.upload.close()
        del self._flights[number]
        self._service.store.drop((self, number))
        if flight.remember:
            self._done[number] = None
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
        if self._ended and not self._flights:
            self._outgoing.put_nowait(None)

    def _count_dropped(self, size: int) -> None:
        self._service.metrics.dropped.inc(size)

    def _end(self) -> None:
        """No more images; the stream closes when the last one is answered."""
        self._ended = True
        if not self._flights:
            self._outgoing.put_nowait(None)

    def _read_options(self) -> Options:
        return messages.options(self._options)

    def _say(self, **message: object) -> None:
        self._outgoing.put_nowait(pb.Downstream(**message))  # type: ignore[arg-type]
