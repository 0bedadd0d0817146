"""gRPC: one long-lived session, opened anew when it is lost or sent away."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import grpc

from overtone.edge_client.errors import (
    ConnectionLost,
    OvertoneError,
    ProtocolError,
    Unavailable,
    WrongProfile,
)
from overtone.edge_client.pace import Pace
from overtone.edge_client.patience import FIRST_PAUSES, PAUSES
from overtone.edge_client.policy import Chooser, Plan
from overtone.edge_client.profiles import Profiles
from overtone.edge_client.session import Metadata, Moved, Session, broken_off, from_rpc
from overtone.edge_client.transport import Reply, Setup, Upload
from overtone.frequency import Profile, ProfileError
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

# A stream this long silent while an image runs out of time is not worth keeping: its connection may be dead.
STALE = 5.0
CLOSE_GRACE = 1.0
CHANNEL = (
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Not a pause but the time one attempt may take: TCP's handshake, then HTTP/2's, at a second's round trip
    # on some links. A refused attempt fails at once all the same.
    ("grpc.min_reconnect_backoff_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),
    # Pings at every few messages, to size windows that messages of a kilobyte never fill.
    ("grpc.http2.bdp_probe", 0),
    # A new channel has to mean a new connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcTransport:
    """The way over `overtone.v1.Cascade`.

    Args:
        setup: what holds for all images.
        chooser: what knows the link.
    """

    def __init__(self, setup: Setup, chooser: Chooser) -> None:
        self._setup = setup
        self._chooser = chooser
        self._metadata: Metadata = (("authorization", f"Bearer {setup.token}"),) if setup.token else ()
        self._tls = (
            (setup.tls.credentials() if setup.tls else grpc.ssl_channel_credentials())
            if (setup.address.secure)
            else None
        )
        self._channel, self._stub = self._connect()
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._profile_id = b""
        self._card: dict[str, Any] | None = None
        self._been_there = self._closed = False
        # Of the last session: what begins while it is being replaced goes on in the next one.
        self._credits = 1
        self._farewells: set[asyncio.Task[None]] = set()

    @property
    def credits(self) -> int:
        """How many images the server takes at a time."""
        return self._credits

    async def profile(self, known: Profiles, *, fresh: bool = False) -> Profile:
        """The served profile; a welcome names it, so a known one costs nothing."""
        if fresh:
            self._profile_id = b""
        else:
            cached = known.get((await self._ready()).profile_id)
            if cached is not None:
                self._profile_id = cached.id
                return cached
        model = await self._describe()
        try:
            profile = Profile.unpack(model.profile)
        except ProfileError as error:
            raise ProtocolError(f"the server's profile cannot be used ({error})") from error
        self._profile_id = profile.id
        if self._session is not None and self._session.profile_id != profile.id:
            self._session.leave()
        return profile

    @property
    def known_card(self) -> dict[str, Any] | None:
        """The card, if it came with the profile."""
        return self._card

    async def card(self) -> dict[str, Any]:
        """The card; it came with the profile, unless that was known."""
        if self._card is None:
            await self._describe()
        return self._card or {}

    async def classify(self, upload: Upload) -> Reply:
        """One image; if its stream is lost it is sent once more, low and high, on a new one."""
        try:
            return await self._attempt(upload, upload.plan)
        except ConnectionLost:
            return replace(await self._attempt(upload, "at_once"), outcome=None)

    async def close(self) -> None:
        """Let images in flight be answered for a second, then close."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._session is not None:
            await self._session.close(CLOSE_GRACE)
        for task in self._farewells:
            task.cancel()
        await self._channel.close(0)

    async def _attempt(self, upload: Upload, plan: Plan) -> Reply:
        loop = asyncio.get_running_loop()
        while True:
            session = await self._ready()
            start = loop.time()
            if session.profile_id != upload.profile_id:
                raise WrongProfile("the server has another profile than the image was encoded for")
            try:
                return await session.classify(upload, plan)
            except Moved:
                continue
            except asyncio.CancelledError:
                if min(session.silence, loop.time() - start) > STALE:
                    self._abandon(session)
                raise

    async def _ready(self) -> Session:
        """The session; a lost one is opened anew by one task, however many images wait for it."""
        if self._session is not None and self._session.usable:
            return self._session
        if self._closed:
            raise ConnectionLost("the client was closed")
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        with broken_off():
            return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        problem: OvertoneError = Unavailable("none was tried")
        for pause in PAUSES if self._been_there else FIRST_PAUSES:
            await asyncio.sleep(max(pause, problem.retry_after or 0.0))
            try:
                async with asyncio.timeout(self._setup.timeout):
                    pace = Pace(self._chooser)
                    pace.link.emptied()
                    self._session = await Session.open(self._stub, self._metadata, self._hello(), pace)
            except Unavailable as error:
                problem = error
            except TimeoutError:
                problem = Unavailable("no welcome in time")
                self._reconnect()
            else:
                self._been_there = True
                self._credits = self._session.credits
                return self._session
        what = f"no session with {self._setup.address}: {problem.what}"
        raise Unavailable(what, problem.retry_after) from problem

    def _hello(self) -> pb.Hello:
        # Without a deadline, which would hold for all images while each may have a time limit of its own: an
        # image given up here is cancelled there, and the server has limits besides.
        options = pb.Options(operating_point=self._setup.operating_point, top=self._setup.top)
        return pb.Hello(profile_id=self._profile_id, options=options)

    async def _describe(self) -> pb.Model:
        try:
            with broken_off():
                model: pb.Model = await self._stub.DescribeModel(
                    pb.DescribeModelRequest(), metadata=self._metadata, timeout=self._setup.timeout
                )
            self._card = dict(json.loads(model.card or "{}"))
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        except (ValueError, TypeError) as error:
            raise ProtocolError("the server's card is not JSON") from error
        return model

    def _connect(self) -> tuple[grpc.aio.Channel, Any]:
        target = self._setup.address.target
        if self._tls is None:
            channel = grpc.aio.insecure_channel(target, options=CHANNEL)
        else:
            channel = grpc.aio.secure_channel(target, self._tls, options=CHANNEL)
        return channel, stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]

    def _abandon(self, session: Session) -> None:
        session.break_off(ConnectionLost(f"nothing was heard from the server for {session.silence:.0f} s"))
        if session is self._session:
            self._session = None
            self._reconnect()

    def _reconnect(self) -> None:
        """Drop the connection itself: a new stream on a dead one would be as dead."""
        self._later(self._channel.close(0))
        self._channel, self._stub = self._connect()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Exception):
                await work

        task = asyncio.create_task(quietly())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)
