"""The synchronous client: the asynchronous one, on an event loop in a thread of its own."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any, Literal, Self, Unpack, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.client import DEFAULT_ADDRESS, IN_FLIGHT, AsyncClient, Options
from overtone.edge_client.detection import Detected
from overtone.edge_client.encoding import EncodedImage
from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.task import Task
from overtone.edge_client.transport import Labels
from overtone.frequency import Profile, Source


class Client:
    """Sends images to a server; use it as ``with Client("grpc://host:50051") as client``.

    It takes the options of `AsyncClient`, and may be shared by threads.

    Raises:
        UsageError: an address, option or TLS file that cannot be used.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, **options: Unpack[Options]) -> None:
        self._client = AsyncClient(address, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self._client))
            self._portal, self._stack = portal, stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._portal = None
        self._stack.__exit__(*error)

    @property
    def profile(self) -> Profile:
        """The profile for which the server wants images to be encoded, or as much of it as has been fetched."""
        return self._client.profile

    def card(self) -> dict[str, Any]:
        """The card of the server's model, as parsed JSON; see `AsyncClient.card`."""
        return self._open.call(self._client.card)

    def whole_profile(self) -> Profile:
        """The whole profile; see `AsyncClient.whole_profile`."""
        return self._open.call(self._client.whole_profile)

    def labels(self) -> Labels:
        """The labels of the server's model; see `AsyncClient.labels`."""
        return self._open.call(self._client.labels)

    def fetch_tables(self, layers: int | None = None) -> None:
        """Fetch what is missing to encode the first so many layers; see `AsyncClient.fetch_tables`."""
        self._open.call(self._client.fetch_tables, layers)

    def classify(self, image: Source | EncodedImage, *, timeout: float | None = None) -> Answer:
        """Classify an image; see `AsyncClient.classify`.

        Raises:
            OvertoneError: there was no answer in time; the message says why.
        """

        async def classify() -> Answer:
            return await self._client.classify(image, timeout=timeout)

        return self._open.call(classify)

    def detect(self, picture: Source | EncodedImage, *, timeout: float | None = None) -> Detected:
        """Find the objects in a picture; see `AsyncClient.detect`.

        Raises:
            OvertoneError: there was no answer in time; the message says why.
        """

        async def detect() -> Detected:
            return await self._client.detect(picture, timeout=timeout)

        return self._open.call(detect)

    @overload
    def stream(
        self, images: Iterable[Source], *, in_flight: int = IN_FLIGHT, task: Literal["classify"] = "classify"
    ) -> Iterator[Result[Answer]]: ...

    @overload
    def stream(
        self, images: Iterable[Source], *, in_flight: int = IN_FLIGHT, task: Literal["detect"]
    ) -> Iterator[Result[Detected]]: ...

    def stream(
        self, images: Iterable[Source], *, in_flight: int = IN_FLIGHT, task: Task = "classify"
    ) -> Iterator[Result[Any]]:
        """Results in the order of the images, several images being in flight; see `AsyncClient.stream`."""
        portal = self._open
        results = self._client.stream(images, in_flight=in_flight, task=task)

        async def following() -> Result[Any] | None:
            return await anext(results, None)

        async def close() -> None:
            with suppress(RuntimeError):  # it was interrupted within a step, which is being cancelled
                await results.aclose()

        def step() -> Future[Result[Any] | None]:
            try:
                return portal.start_task_soon(following)
            except RuntimeError as error:  # the portal is closed
                raise OvertoneError("the client was closed before the stream had ended") from error

        waiting = step()
        try:
            while (result := waiting.result()) is not None:
                yield result
                waiting = step()
        finally:
            waiting.cancel()
            with suppress(RuntimeError):  # the portal is closed, and so is the stream
                portal.call(close)

    @property
    def _open(self) -> BlockingPortal:
        if self._portal is None:
            raise OvertoneError("the client is not open: use it in a with statement")
        return self._portal
