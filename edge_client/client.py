"""The asynchronous client: pictures in, answers out."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict

from overtone.edge_client import pictures
from overtone.edge_client.address import Address, Tls
from overtone.edge_client.answer import Answer, Result, Score, Timings
from overtone.edge_client.errors import (
    OvertoneError,
    ProtocolError,
    Refused,
    Unavailable,
    UsageError,
    WrongProfile,
)
from overtone.edge_client.patience import PATIENCE, each, pause, within
from overtone.edge_client.policy import Chooser, Policy, exit_share
from overtone.edge_client.profiles import Profiles
from overtone.edge_client.transport import Reply, Setup, Transport, Upload
from overtone.frequency import Profile
from overtone.frequency.pixels import Source

# Enough to hide a link's round trip and our encoding; more would only queue on the link, each image late.
IN_FLIGHT = 4
MAX_TIMEOUT = 86_400.0
MAX_TOP = 65_535
DEFAULT_ADDRESS = "grpc://127.0.0.1:50051"


class Options(TypedDict, total=False):
    """What `AsyncClient` takes beside the address; see there."""

    token: str | None
    tls: Tls | None
    policy: Policy
    operating_point: str
    quality: int | None
    top: int
    timeout: float
    cache: Path | None


class AsyncClient:
    """A device's side of Overtone; use as ``async with AsyncClient("grpc://host:50051") as client``.

    Args:
        address: grpc://, grpcs://, http:// or https:// with host and port.
        token: sent as a bearer token, where the server asks for one.
        tls: authority or client certificate, for grpcs:// and https://.
        policy: when to send high: `on_demand` when asked, `ahead` behind low as the link has room until the
            answer comes, `at_once` all of it right behind low; `auto` measures the link and chooses for each
            picture. Over REST, where nothing can be stopped midway, `ahead` is `on_demand`.
        operating_point: one of the model's card; empty is its default.
        quality: one of the profile's; None is its default.
        top: how many classes an answer carries.
        timeout: seconds for one picture from `classify` to its answer, encoding and repeats included.
        cache: a folder to keep profiles in, so that connecting again costs fewer bytes.

    Raises:
        UsageError: an address, option or TLS file that cannot be used.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str | None = None,
        tls: Tls | None = None,
        policy: Policy = "auto",
        operating_point: str = "",
        quality: int | None = None,
        top: int = 1,
        timeout: float = 10.0,
        cache: Path | None = None,
    ) -> None:
        where = Address.parse(address)
        if tls is not None and not where.secure:
            raise UsageError(f"tls needs grpcs:// or https://, not {where.scheme}://")
        if not 0 < timeout <= MAX_TIMEOUT:
            raise UsageError(
                f"the timeout must be above 0 and at most {MAX_TIMEOUT:g} seconds, got {timeout}"
            )
        if not 1 <= top <= MAX_TOP:
            raise UsageError(f"top must be from 1 to {MAX_TOP}, got {top}")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
            raise UsageError("a token is printable ASCII without spaces, and not empty")
        self._setup = Setup(where, token, tls, operating_point, top, timeout)
        self._chooser = Chooser(policy, can_stop=where.is_grpc)
        self._quality = quality
        self._profiles = Profiles(cache)
        self._profile: Profile | None = None
        self._transport: Transport | None = None
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._transport = _transport(self._setup, self._chooser)
        try:
            async with within(self._setup.timeout, f"{self._setup.address} gave no profile"):
                await self._learn(await self._first_profile())
        except BaseException:
            await self._transport.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    @property
    def profile(self) -> Profile:
        """What the server wants pictures encoded for.

        Raises:
            OvertoneError: the client is not open.
        """
        if self._profile is None:
            raise OvertoneError("the client is not open: use it in a with statement")
        return self._profile

    async def card(self) -> dict[str, Any]:
        """The card of the served model, as parsed JSON.

        Raises:
            OvertoneError: it did not come.
        """
        async with within(self._setup.timeout, "the model's card did not come"):
            return await self._open.card()

    async def classify(self, picture: Source, *, timeout: float | None = None) -> Answer:
        """What is in a picture.

        Args:
            picture: a path, encoded bytes, a uint8 array [H, W], [H, W, 3] or [H, W, 4], or Pillow's; it is
                turned upright, made RGB, and its centre cut out as the profile wants it.
            timeout: seconds, instead of the client's.

        Raises:
            OvertoneError: no answer within the time, and why; `BadPicture` if it is the picture's fault.
        """
        limit = self._setup.timeout if timeout is None else timeout
        start = asyncio.get_running_loop().time()
        async with within(limit, "no answer"):
            return await self._classify(picture, start, start + limit)

    async def stream(
        self, images: Iterable[Source] | AsyncIterable[Source], *, in_flight: int = IN_FLIGHT
    ) -> AsyncGenerator[Result, None]:
        """Answers in the order of the pictures, several on their way at a time.

        Each picture has its own time limit and its own `Result`: one that fails holds its error and does not
        disturb the others. Pictures are taken from the iterable as there is room for them, off the event
        loop, so it may wait for a camera. What the iterable itself raises comes out after the results of
        the pictures before.

        Args:
            images: anything `classify` takes.
            in_flight: at most so many at a time; never more than the server's credits.
        """
        room = asyncio.Semaphore(max(1, min(in_flight, self._open.credits)))
        line: asyncio.Queue[asyncio.Task[Result] | None] = asyncio.Queue()
        running: deque[asyncio.Task[Result]] = deque()

        async def feed() -> None:
            try:
                async for picture in each(images):
                    await room.acquire()
                    running.append(asyncio.create_task(self._result(picture)))
                    line.put_nowait(running[-1])
            finally:
                line.put_nowait(None)

        feeder = asyncio.create_task(feed())
        try:
            while (task := await line.get()) is not None:
                result = await task
                running.popleft()
                room.release()
                yield result
            await feeder
        finally:
            for left in (feeder, *running):
                left.cancel()
            await asyncio.gather(feeder, *running, return_exceptions=True)

    @property
    def _open(self) -> Transport:
        if self._transport is None:
            raise OvertoneError("the client is not open: use it in a with statement")
        return self._transport

    async def _result(self, picture: Source) -> Result:
        try:
            return Result(picture, answer=await self.classify(picture))
        except OvertoneError as error:
            return Result(picture, error=error)

    async def _classify(self, picture: Source, start: float, deadline: float) -> Answer:
        profile, coded, upload = await self._encode(picture)
        renewed, patience = False, PATIENCE
        while True:
            try:
                reply = await self._open.classify(upload)
                break
            except WrongProfile:
                if renewed:
                    raise
                renewed, sent = True, upload.bytes_sent
                await self._renew(profile)
                profile, coded, upload = await self._encode(picture)
                upload.bytes_sent = sent
            except (Refused, Unavailable) as error:
                patience -= 1
                await pause(error, deadline, patience)
        now = asyncio.get_running_loop().time()
        timings = Timings(coded.milliseconds, 1e3 * (now - start), reply.queue_ms, reply.compute_ms)
        if reply.outcome is not None:
            self._chooser.observe(reply.outcome)
        return _answer(reply, profile, upload, timings)

    async def _encode(self, picture: Source) -> tuple[Profile, pictures.Coded, Upload]:
        profile = self.profile
        coded = await asyncio.to_thread(pictures.code, picture, profile, self._quality)
        plan = self._chooser.plan(len(coded.encoded.low), len(coded.encoded.high))
        return profile, coded, Upload(coded.encoded, profile.id, plan)

    async def _first_profile(self) -> Profile:
        """The profile; a server that says it is starting is asked again for as long as there is time."""
        deadline = asyncio.get_running_loop().time() + self._setup.timeout
        while True:
            try:
                return await self._open.profile(self._profiles)
            except Unavailable as error:
                await pause(error, deadline, patience=1)

    async def _renew(self, stale: Profile) -> None:
        """Fetch the profile again, once for all images that found theirs wrong."""
        async with self._renewing:
            if self.profile.id == stale.id:
                await self._learn(await self._open.profile(self._profiles, fresh=True))

    async def _learn(self, profile: Profile) -> None:
        if self._quality is not None and self._quality not in profile.qualities:
            raise UsageError(f"no quality {self._quality}: {profile.name} has {list(profile.qualities)}")
        self._profile = profile
        self._chooser.expect(exit_share(self._open.known_card or {}, self._setup.operating_point))
        await asyncio.to_thread(self._profiles.add, profile)


def _transport(setup: Setup, chooser: Chooser) -> Transport:
    # Imported only when used: a device needs one of the two, and start-up time is felt on a small one.
    if setup.address.is_grpc:
        from overtone.edge_client.grpc_transport import GrpcTransport

        return GrpcTransport(setup, chooser)
    from overtone.edge_client.rest_transport import RestTransport

    return RestTransport(setup, chooser.link)


def _answer(reply: Reply, profile: Profile, upload: Upload, timings: Timings) -> Answer:
    if any(not 0 <= index < len(profile.labels) for index, _ in reply.top):
        raise ProtocolError("the server answered with a class that its profile does not have")
    top = tuple(Score(profile.labels[index], index, probability) for index, probability in reply.top)
    best = top[0]
    return Answer(
        label=best.label,
        index=best.index,
        confidence=best.probability,
        top=top,
        stage=reply.stage,
        confident=reply.confident,
        bytes_sent=upload.bytes_sent,
        timings=timings,
        model=reply.model,
        plan=upload.plan,
    )
