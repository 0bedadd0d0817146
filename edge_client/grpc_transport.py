"""The gRPC transport: one long-lived session, opened again when it is lost or the server ends it."""

import asyncio
import contextlib
import json
import os
import zlib
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

# gRPC's core writes to standard error what it also reports to its caller, unless this is set when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from overtone.edge_client import errors
from overtone.edge_client.chunk_pacing import ChunkPacer
from overtone.edge_client.grpc_errors import from_rpc, raises_connection_lost
from overtone.edge_client.plan import Plan, at_once
from overtone.edge_client.policy import PlanSelector, exit_share
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.retry import FIRST_PAUSES, PAUSES
from overtone.edge_client.session import Metadata, Session, SessionClosing
from overtone.edge_client.transport import ClientConfig, Labels, RawAnswer, Upload
from overtone.edge_client.trust import hint
from overtone.frequency import Profile, ProfileError, unpack_part
from overtone.frequency.profile import MAX_JSON
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
CLOSE_GRACE = 1.0
CHANNEL = (
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # This is not a pause but the time that one attempt may take: the handshakes of TCP and HTTP/2, on links whose
    # round trip may be a second. An attempt that is refused still fails at once.
    ("grpc.min_reconnect_backoff_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),
    # Without this, gRPC pings every few messages to size windows that messages of a kilobyte never fill.
    ("grpc.http2.bdp_probe", 0),
    # A new channel has to mean a new connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcTransport:
    """The transport that speaks the gRPC service `overtone.v2.Cascade`."""

    def __init__(self, config: ClientConfig, selector: PlanSelector) -> None:
        self._config = config
        self._selector = selector
        self._metadata: Metadata = (("authorization", f"Bearer {config.token}"),) if config.token else ()
        self._tls = (
            (config.tls.credentials() if config.tls else grpc.ssl_channel_credentials())
            if config.address.secure
            else None
        )
        self._channel, self._stub = self._connect()
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._profile_id = b""
        # The model that the profile is of, with its version if the server has several.
        self._origin = config.model
        self._labelled = False  # whether the profile has labels, so that answers need none
        self.exit_share: float | None = None
        self._reached = self._closed = False
        # Those of the last session; images that come while it is being replaced will go on the next one.
        self.credits = 1
        self._background: set[asyncio.Task[None]] = set()

    async def profile(self, known: ProfileCache, *, fresh: bool = False) -> Profile:
        """The server's profile; the welcome names it, so a known one is not fetched."""
        if fresh:
            self._profile_id = b""
        else:
            cached = known.get((await self._ready()).profile_id)
            if cached is not None:
                self._origin = self._serving()
                self._profile_id = cached.id
                return cached
        self._origin = self._serving()
        profile = await self._fetch(self._config.layers)
        self._profile_id, self._labelled = profile.id, bool(profile.labels)
        if self._session is not None and self._session.profile_id != profile.id:
            self._session.leave()
        return profile

    async def further(self, profile: Profile, layers: int) -> Profile:
        """A part of a profile with the tables of further layers."""
        return await self._fetch(layers, profile)

    async def whole(self) -> Profile:
        """The whole profile."""
        return _profile(await self._describe(pb.DescribeModelRequest(model=self._origin)))

    async def card(self) -> dict[str, Any]:
        """The card."""
        return _card(await self._describe(pb.DescribeModelRequest(model=self._origin)))

    async def labels(self) -> Labels:
        """The labels; a server of an earlier version sends them with the whole profile."""
        model = await self._describe(pb.DescribeModelRequest(labels=True, model=self._origin))
        if not model.labels:
            return Labels.read({"labels": _profile(model).labels, "classes": _card(model).get("classes", ())})
        try:
            return Labels.read(json.loads(zlib.decompressobj().decompress(model.labels, MAX_JSON)))
        except (zlib.error, ValueError) as error:
            raise errors.ProtocolError(f"the server's labels cannot be used ({error})") from error

    async def send(self, upload: Upload) -> RawAnswer:
        """Send an image; if its stream is lost, send all layers once more on a new one."""
        try:
            return await self._attempt(upload, upload.plan)
        except errors.ConnectionLost:
            everything = at_once(upload.together)
            return replace(await self._attempt(upload, everything), observation=None)

    async def close(self) -> None:
        """Give images in flight a second to be answered, then close."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._session is not None:
            await self._session.close(CLOSE_GRACE)
        for task in self._background:
            task.cancel()
        await self._channel.close(0)

    async def _attempt(self, upload: Upload, plan: Plan) -> RawAnswer:
        while True:
            session = await self._ready()
            upload.check(session.model, session.task)
            if session.profile_id != upload.profile_id:
                raise errors.WrongProfile("the server has another profile than the image was encoded for")
            with contextlib.suppress(SessionClosing):
                return await session.send(upload, plan)

    async def _ready(self) -> Session:
        """The session; if it was lost, one task opens another for all images that wait for it."""
        if self._session is not None and self._session.usable:
            return self._session
        if self._closed:
            raise errors.ConnectionLost("the client was closed")
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        with raises_connection_lost():
            return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        problem: errors.OvertoneError = errors.Unavailable("no attempt was made")
        for pause in PAUSES if self._reached else FIRST_PAUSES:
            await asyncio.sleep(max(pause, problem.retry_after or 0.0))
            try:
                async with asyncio.timeout(self._config.timeout):
                    self._session = await self._open_session()
            except errors.Unavailable as error:
                problem = error
            except TimeoutError:
                problem = errors.Unavailable("no welcome in time")
                self._reconnect()
            else:
                self._reached = True
                self.credits = self._session.credits
                return self._session
        hinted = hint(self._config, problem.what)
        what = f"no session with {self._config.address}: {problem.what}{hinted}"
        # Waiting does not help a client that should have shown a certificate.
        never = hinted or isinstance(problem, errors.Unreachable)
        kind = errors.Unreachable if never else errors.Unavailable
        raise kind(what, problem.retry_after) from problem

    async def _open_session(self) -> Session:
        pacer, channel = ChunkPacer(self._selector), self._channel
        pacer.link.reset_queue()

        async def probe() -> None:
            # Any reply will do, even that the server knows no such method.
            with contextlib.suppress(grpc.aio.AioRpcError):
                await channel.unary_unary(HEALTH_CHECK)(b"")

        session = await Session.open(self._stub, self._metadata, self._hello(), pacer, probe, self._give_up)
        try:
            self._config.check(session.model)
        except errors.UnknownModel as error:
            session.break_off(error)
            raise
        return session

    def _serving(self) -> str:
        """The model of the session, with its version if the server has several; or else the one that was named."""
        session = self._session
        if session is None or not session.usable or not session.version:
            return self._config.model
        return f"{session.model}:{session.version}"

    def _hello(self) -> pb.Hello:
        # The hello carries no deadline, because that would hold for all images, while each may have a time limit of
        # its own. An image that is given up here is cancelled at the server, which has limits of its own besides.
        options = pb.Options(
            operating_point=self._config.operating_point,
            top=self._config.top,
            labels=not self._labelled,
            model=self._config.model,
        )
        return pb.Hello(profile_id=self._profile_id, options=options)

    async def _fetch(self, layers: int, before: Profile | None = None) -> Profile:
        """The part of the profile that has the tables of these layers; the whole from an earlier version's server."""
        point, after = self._config.operating_point, before.layers if before else 0
        part = pb.Part(quality=self._config.quality, after=after, layers=layers, operating_point=point)
        model = await self._describe(pb.DescribeModelRequest(part=part, model=self._origin))
        if before is None:
            told = model.exit_share if model.HasField("exit_share") else None
            self.exit_share = exit_share(_card(model), point) if model.card else told
        return _profile(model, before)

    async def _describe(self, request: pb.DescribeModelRequest) -> pb.Model:
        try:
            with raises_connection_lost():
                model: pb.Model = await self._stub.DescribeModel(
                    request, metadata=self._metadata, timeout=self._config.timeout
                )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND and self._origin != self._config.model:
                raise errors.WrongProfile("the server has changed its model") from error
            raise from_rpc(error) from error
        return model

    def _connect(self) -> tuple[grpc.aio.Channel, Any]:
        target = self._config.address.target
        if self._tls is None:
            channel = grpc.aio.insecure_channel(target, options=CHANNEL)
        else:
            channel = grpc.aio.secure_channel(target, self._tls, options=CHANNEL)
        return channel, stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]

    def _give_up(self, session: Session) -> None:
        """Leave a session whose connection is dead; its images are sent once more on a new one."""
        session.break_off(errors.ConnectionLost("the server is silent, and so is its connection"))
        if session is self._session:
            self._session = None
            self._reconnect()

    def _reconnect(self) -> None:
        """Replace the connection itself, as a new stream on a dead one would be dead too."""
        self._in_background(self._channel.close(0))
        self._channel, self._stub = self._connect()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Exception):
                await work

        task = asyncio.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _profile(model: pb.Model, before: Profile | None = None) -> Profile:
    try:
        return unpack_part(model.part, before) if model.part else Profile.unpack(model.profile)
    except ProfileError as error:
        raise errors.ProtocolError(f"the server's profile cannot be used ({error})") from error


def _card(model: pb.Model) -> dict[str, Any]:
    try:
        return dict(json.loads(model.card or "{}"))
    except (ValueError, TypeError) as error:
        raise errors.ProtocolError("the server's card is not JSON") from error
