"""The asynchronous client: images in, answers out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, overload

from overtone.edge_client import errors
from overtone.edge_client.address import Address, Tls
from overtone.edge_client.answer import Answer, Result, Timings
from overtone.edge_client.current_profile import CurrentProfile
from overtone.edge_client.detection import Detected
from overtone.edge_client.encoding import EncodedImage, encode_image
from overtone.edge_client.labelled import LabelledAnswer
from overtone.edge_client.plan import Policy
from overtone.edge_client.policy import PlanSelector
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.retry import Retries, within
from overtone.edge_client.streaming import in_order
from overtone.edge_client.task import Task
from overtone.edge_client.transport import ClientConfig, Labels, Transport, Upload
from overtone.frequency import Encoded, Profile, Source

# Enough to hide a link's round trip and the time of encoding. More would only queue on the link, and every image
# would be late.
IN_FLIGHT = 4
MAX_TIMEOUT = 86_400.0
MAX_TOP = 65_535
DEFAULT_ADDRESS = "grpc://127.0.0.1:50051"


class Options(TypedDict, total=False):
    """The arguments of `AsyncClient` in addition to the address."""

    token: str | None
    tls: Tls | None
    policy: Policy
    operating_point: str
    quality: int | None
    top: int
    timeout: float
    cache: Path | None
    model: str


class AsyncClient:
    """Sends images to a server; use it as ``async with AsyncClient("grpc://host:50051") as client``.

    Args:
        address: grpc://, grpcs://, http:// or https:// with a host and a port.
        token: sent as a bearer token, where the server asks for one.
        tls: the authority to trust and the client's certificate, for grpcs:// and https://.
        policy: when layers are sent. `on_demand`: the first, and others when the server asks for them. `ahead`: all, in
            order and in chunks, as the link has room for them and until the answer comes. `at_once`: all, right away.
            `auto` measures the link and chooses for each image which layers to send without being asked; at most an
            eighth of the bytes is wasted on that, over many images. Over REST, where nothing can be stopped midway,
            `ahead` is `on_demand`.
        operating_point: an operating point of the model's card; empty is the card's default.
        quality: a quality of the profile; None is the profile's default.
        top: how many classes an answer carries.
        timeout: seconds for one image, from `classify` to its answer, with encoding and retries.
        cache: a folder to keep profiles in, so that connecting again costs fewer bytes.
        model: NAME or NAME:VERSION, where the server has several models; empty is its default.

    Only the part of a profile for one quality is fetched. With `auto` and `on_demand` it has the first layer at first;
    tables of others are fetched when the server first asks for these layers, or by `fetch_tables`.

    Attributes:
        plan_selector: selects when layers are sent, and has estimates of the link.

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
        model: str = "",
    ) -> None:
        parsed = Address.parse(address)
        if tls is not None and not parsed.secure:
            raise errors.UsageError(f"tls needs grpcs:// or https://, not {parsed.scheme}://")
        if not 0 < timeout <= MAX_TIMEOUT:
            raise errors.UsageError(
                f"the timeout must be above 0 and at most {MAX_TIMEOUT:g} seconds, got {timeout}"
            )
        if not 1 <= top <= MAX_TOP:
            raise errors.UsageError(f"top must be from 1 to {MAX_TOP}, got {top}")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
            raise errors.UsageError("a token must be printable ASCII without spaces, and not empty")
        self.plan_selector = PlanSelector(policy, can_stop=parsed.is_grpc)
        layers = 1 if policy in ("auto", "on_demand") else 0
        self._config = ClientConfig(parsed, token, tls, operating_point, top, timeout, quality, layers, model)
        self._quality = quality
        self._profiles = ProfileCache(cache, quality)
        self._current: CurrentProfile | None = None
        self._transport: Transport | None = None

    async def __aenter__(self) -> Self:
        self._transport = _transport(self._config, self.plan_selector)
        try:
            async with within(self._config.timeout, f"{self._config.address} sent no profile"):
                self._current = await CurrentProfile.open(self._transport, self._profiles, self._config)
            self.plan_selector.expect(self._transport.exit_share)
        except BaseException:
            await self._transport.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        transport, self._transport = self._transport, None
        if self._current is not None:
            self._current.close()
        if transport is not None:
            await transport.close()

    @property
    def profile(self) -> Profile:
        """The profile for which the server wants images to be encoded, or as much of it as has been fetched.

        Raises:
            OvertoneError: the client is not open.
        """
        return self._known.value

    async def card(self) -> dict[str, Any]:
        """The card of the server's model, as parsed JSON; this takes tens of kilobytes.

        Raises:
            OvertoneError: the card did not come.
        """
        async with within(self._config.timeout, "the model's card did not come"):
            return await self._open.card()

    async def whole_profile(self) -> Profile:
        """The whole profile, with all qualities and labels; it is kept in the cache too, and takes some 40 kilobytes.

        Raises:
            OvertoneError: it did not come.
        """
        async with within(self._config.timeout, "the whole profile did not come"):
            return await self._known.whole()

    async def labels(self) -> Labels:
        """The labels of the server's model; those of 1,000 classes take some 8 kilobytes.

        Raises:
            OvertoneError: the labels did not come.
        """
        async with within(self._config.timeout, "the model's labels did not come"):
            return await self._open.labels()

    async def fetch_tables(self, layers: int | None = None) -> None:
        """Fetch the missing tables of the first `layers` layers (None: all), for example while the link is good.

        Concurrent calls share one request, which goes on if one of them is cancelled.

        Raises:
            OvertoneError: the tables did not come.
        """
        await self._known.grow(len(self.profile.ladder) if layers is None else layers)

    async def classify(self, image: Source | EncodedImage, *, timeout: float | None = None) -> Answer:
        """Classify an image.

        Args:
            image: a path, encoded bytes, a uint8 array [H, W], [H, W, 3] or [H, W, 4], or a Pillow image. It is
                turned upright, converted to RGB, and cropped to its centre at the profile's size. Or the result of
                `encode_image` for one of these.
            timeout: seconds for this image, instead of the client's.

        Raises:
            OvertoneError: there was no answer in time; the message says why. It is `BadImage` if the image cannot
                be used.
        """
        return (await self._ask(image, "classify", timeout)).answer()

    async def detect(self, picture: Source | EncodedImage, *, timeout: float | None = None) -> Detected:
        """Find the objects in a picture; the server's model has to be a detector.

        Further layers are sent when the server asks for them, and only of the blocks that it asks for. Layers that are
        sent unasked are of the whole picture, so the policy `auto` is `on_demand` here.

        Args:
            picture: a path, encoded bytes, a uint8 array [H, W], [H, W, 3] or [H, W, 4], or a Pillow image. It is
                turned upright, converted to RGB, and sent as a whole, whatever its shape. Or the result of
                `encode_image(..., task="detect")` for one of these.
            timeout: seconds for this picture, instead of the client's.

        Raises:
            OvertoneError: there was no answer in time; the message says why. It is `BadImage` if the picture cannot
                be used, and `WrongTask` if the model does something else.
        """
        return (await self._ask(picture, "detect", timeout)).detected()

    @overload
    def stream(
        self,
        images: Iterable[Source] | AsyncIterable[Source],
        *,
        in_flight: int = IN_FLIGHT,
        task: Literal["classify"] = "classify",
    ) -> AsyncGenerator[Result[Answer], None]: ...

    @overload
    def stream(
        self,
        images: Iterable[Source] | AsyncIterable[Source],
        *,
        in_flight: int = IN_FLIGHT,
        task: Literal["detect"],
    ) -> AsyncGenerator[Result[Detected], None]: ...

    async def stream(
        self,
        images: Iterable[Source] | AsyncIterable[Source],
        *,
        in_flight: int = IN_FLIGHT,
        task: Task = "classify",
    ) -> AsyncGenerator[Result[Any], None]:
        """Results in the order of the images, several images being in flight at a time.

        Each image has its own time limit and its own `Result`: one that fails holds its error, and does not disturb
        the others. An image is taken from the iterable only when it can be sent, so the images of a camera are
        never older than need be. The iterable is read in a thread of its own and may block. An exception of the
        iterable itself is raised after the results of the images before it.

        Args:
            images: anything that `classify` takes.
            in_flight: how many images may be in flight at a time; the server's credits are a limit too.
            task: `detect` for the results of `detect`.
        """

        async def ask(image: Source) -> Result[Any]:
            try:
                answer = await (self.classify(image) if task == "classify" else self.detect(image))
                return Result(image, answer=answer)
            except errors.OvertoneError as error:
                return Result(image, error=error)

        results = in_order(images, ask, max(1, min(in_flight, self._open.credits)))
        async with aclosing(results):
            async for result in results:
                yield result

    @property
    def _open(self) -> Transport:
        if self._transport is None:
            raise errors.OvertoneError("the client is not open: use it in a with statement")
        return self._transport

    @property
    def _known(self) -> CurrentProfile:
        if self._current is None:
            raise errors.OvertoneError("the client is not open: use it in a with statement")
        return self._current

    async def _ask(self, image: Source | EncodedImage, task: Task, timeout: float | None) -> LabelledAnswer:
        limit = self._config.timeout if timeout is None else timeout
        start = asyncio.get_running_loop().time()
        retries = Retries(start + limit)
        async with within(limit, "no answer", retries):
            return await self._send(image, task, start, limit, retries)

    async def _send(
        self, image: Source | EncodedImage, task: Task, start: float, limit: float, retries: Retries
    ) -> LabelledAnswer:
        profile, coded, upload = await self._encode(image, task, limit)
        renewed = False
        while True:
            try:
                raw = await self._open.send(upload)
                break
            except errors.WrongProfile:
                if renewed:
                    raise
                renewed, sent = True, upload.bytes_sent
                if await self._known.renew(profile):
                    self.plan_selector.expect(self._open.exit_share)
                if isinstance(image, EncodedImage):  # its caller has to encode it again
                    raise
                profile, coded, upload = await self._encode(image, task, limit)
                upload.bytes_sent = sent
            except (errors.Refused, errors.Unavailable) as error:
                if self._transport is None:  # the client was closed
                    raise
                await retries.pause(error)
        total = asyncio.get_running_loop().time() - start
        if raw.observation is not None:
            self.plan_selector.observe(raw.observation)
        timings = Timings(coded.milliseconds, 1e3 * total, raw.queue_ms, raw.compute_ms)
        return LabelledAnswer(raw, profile.labels, upload, timings)

    async def _encode(
        self, image: Source | EncodedImage, task: Task, limit: float
    ) -> tuple[Profile, EncodedImage, Upload]:
        profile = self.profile
        if not isinstance(image, EncodedImage):
            asks = task == "detect" and self._config.layers == 1
            known = self._known.first_layer if asks else profile
            image = await asyncio.to_thread(encode_image, image, known, self._quality, task=task)
        elif image.task != task:
            raise errors.UsageError(
                f"the image was encoded to {image.task}, not to {task}: give encode_image a task"
            )
        sizes = [len(payload) for payload in image.encoded.layers]
        plan = self.plan_selector.plan(sizes, in_regions=task == "detect")
        current = self._known

        async def encode(encoded: Encoded, layers: int, blocks: bytes) -> Encoded:
            return await current.encode_further(encoded, profile, layers, blocks)

        upload = Upload(
            image.encoded, image.profile_id, plan, limit, layers=len(profile.ladder), picture=image.picture
        )
        if image.encoded.values is not None:
            upload.encode = encode
        return profile, image, upload


def _transport(config: ClientConfig, selector: PlanSelector) -> Transport:
    # Imported only when used: a device needs one of the two, and a small device is slow to import.
    if config.address.is_grpc:
        from overtone.edge_client.grpc_transport import GrpcTransport

        return GrpcTransport(config, selector)
    from overtone.edge_client.rest_transport import RestTransport

    return RestTransport(config, selector.link)
