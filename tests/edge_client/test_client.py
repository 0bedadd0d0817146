"""What does not depend on the transport: images, streams, profiles, and the synchronous client."""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.edge_client import (
    Address,
    AsyncClient,
    BadImage,
    Client,
    DeadlineExceeded,
    OvertoneError,
    Refused,
    Tls,
    Unavailable,
    UsageError,
    WrongProfile,
    encode_image,
    errors,
)
from overtone.edge_client.image_files import class_names, find, jpeg_bytes, truth
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.retry import FIRST_PAUSES
from overtone.frequency import Profile, Source, encode, fit, open_rgb
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import (
    FakeCascade,
    FakeRest,
    Request,
    Response,
    Stream,
    confident,
    in_thread,
    rest_answer,
    rest_error,
    serve_grpc,
    serve_rest,
)

Photograph = NDArray[np.uint8]


@contextlib.asynccontextmanager
async def serve(scheme: str, profile: Profile) -> AsyncIterator[str]:
    """A confident server of either kind."""
    if scheme == "grpc":
        async with serve_grpc(FakeCascade(profile, confident)) as address:
            yield address
    else:
        async with serve_rest(FakeRest(profile, rest_answer())) as address:
            yield address


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("grpc://device.local:4000", Address("grpc", "device.local", 4000)),
        ("grpc://10.0.0.1", Address("grpc", "10.0.0.1", 50051)),
        ("grpcs://h", Address("grpcs", "h", 50051)),
        ("http://h", Address("http", "h", 8080)),
        ("https://[::1]:99/", Address("https", "::1", 99)),
    ],
)
def test_addresses(text: str, parsed: Address) -> None:
    assert Address.parse(text) == parsed
    assert Address.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "host:50051", "ftp://h", "grpc://", "grpc://h:port", "http://h/v1", "http://h:99999", "grpc://["],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="grpc://HOST"):
        AsyncClient(text)


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on_demand"):
        AsyncClient(policy="sometimes")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="grpcs"):
        AsyncClient("grpc://h", tls=Tls())
    with pytest.raises(UsageError, match="timeout"):
        AsyncClient(timeout=0)
    with pytest.raises(UsageError, match="top"):
        AsyncClient(top=0)
    for token in ("", "two words", "lines\r\n", "geheim\u00e4"):
        with pytest.raises(UsageError, match="token"):
            AsyncClient(token=token)
    for scheme in ("grpcs", "https"):
        with pytest.raises(UsageError, match=r"none\.pem"):
            asyncio.run(AsyncClient(f"{scheme}://h", tls=Tls(tmp_path / "none.pem")).__aenter__())


@pytest.mark.parametrize("address", ["http://\u2603.x", "https://\u2603.x"])
async def test_a_host_that_cannot_be_written_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="cannot use the address"):
        async with AsyncClient(address):
            pass


async def test_a_quality_the_profile_lacks_is_refused(tiny_profile: Profile) -> None:
    async with serve("grpc", tiny_profile) as address:
        with pytest.raises(UsageError, match=r"\[1, 2, 3\]"):
            async with AsyncClient(address, quality=9):
                pass


@pytest.mark.parametrize("quality", [1, 3])
async def test_quality_is_what_is_encoded(
    quality: int, photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address, quality=quality) as client:
        await client.classify(photograph)
    assert cascade.images[0].low == encode(fit(open_rgb(photograph), 64), tiny_profile, quality).low


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_any_source_is_the_same_image(
    scheme: str, photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(photograph)
    image.save(buffer, "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(buffer.getvalue())
    sources: list[Source] = [photograph, image, buffer.getvalue(), path, str(path)]
    async with serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        answers = [await client.classify(source) for source in sources]
    assert len({answer.bytes_sent for answer in answers}) == 1


@pytest.mark.parametrize(
    "source", [b"not a image", Path("nowhere.jpg"), np.zeros((4, 4), np.float32), Image.new("L", (0, 4)), 3]
)
async def test_a_bad_image_is_refused_before_anything_is_sent(source: Source, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(BadImage):
            await client.classify(source)
    assert not cascade.images


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_stream_keeps_order_and_isolates_what_fails(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG")
    cut_short = Image.open(
        io.BytesIO(buffer.getvalue()[:-200])
    )  # which Pillow decodes only when it is looked at
    sources: list[Source] = [photograph, b"bad", photograph, cut_short, photograph]
    async with serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        results = [result async for result in client.stream(sources)]
    assert [result.image is source for result, source in zip(results, sources, strict=True)] == [True] * 5
    assert [result.answer is not None for result in results] == [True, False, True, False, True]
    assert isinstance(results[1].error, BadImage)
    assert isinstance(results[3].error, BadImage)
    with pytest.raises(BadImage):
        results[1].get()


async def test_a_stream_is_in_order_though_answers_are_not(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    images = [photograph // divisor for divisor in range(1, 9)]
    lows = [encode(fit(open_rgb(image), 64), tiny_profile).low for image in images]

    async def later_first(stream: Stream, image: pb.Image) -> None:
        await asyncio.sleep(0.05 if image.id % 2 else 0)
        await stream.answer(image.id, index=lows.index(image.low))

    cascade = FakeCascade(tiny_profile, later_first)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        results = [result async for result in client.stream(images)]
    assert [result.get().index for result in results] == list(range(8))
    assert all(result.image is image for result, image in zip(results, images, strict=True))


async def test_a_stream_sends_several_at_a_time_within_credits(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    now = most = 0

    async def counting(stream: Stream, image: pb.Image) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, counting)
    cascade.credits = 3
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        async for _ in client.stream([photograph] * 9, in_flight=100):
            pass
    assert 1 < most <= 3


async def test_a_stream_takes_asynchronous_sources_and_passes_their_errors_on(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def camera() -> AsyncIterator[Photograph]:
        yield photograph
        yield photograph
        raise RuntimeError("unplugged")

    async with serve("http", tiny_profile) as address, AsyncClient(address) as client:
        results = client.stream(camera())
        assert (await anext(results)).answer is not None
        assert (await anext(results)).answer is not None
        with pytest.raises(RuntimeError, match="unplugged"):
            await anext(results)


async def test_a_stream_may_be_left(photograph: Photograph, tiny_profile: Profile) -> None:
    taken = 0

    def endless() -> Iterator[Photograph]:
        nonlocal taken
        while True:
            taken += 1
            yield photograph

    async with serve("grpc", tiny_profile) as address, AsyncClient(address) as client:
        async with contextlib.aclosing(client.stream(endless())) as results:
            async for _ in results:
                break
        so_far = taken
        assert (await client.classify(photograph)).label == "class 3"
        assert taken <= so_far + 1


async def test_a_profile_is_fetched_once_and_kept(
    photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    cascade, rest = FakeCascade(tiny_profile, confident), FakeRest(tiny_profile, rest_answer())
    async with serve_grpc(cascade) as grpc_address, serve_rest(rest) as rest_address:
        for address in (grpc_address, grpc_address, rest_address):
            async with AsyncClient(address, cache=tmp_path / "profiles") as client:
                assert client.profile == tiny_profile
                await client.classify(photograph)
    assert cascade.described == 1
    assert len(rest.gets) == 1
    assert rest.gets[0].headers["if-none-match"] == f'"{tiny_profile.id.hex()}"'


def test_a_damaged_profile_on_disk_counts_as_unknown(tiny_profile: Profile, tmp_path: Path) -> None:
    ProfileCache(tmp_path).add(tiny_profile)
    (file,) = (path for path in tmp_path.iterdir())
    assert ProfileCache(tmp_path).get(tiny_profile.id) == tiny_profile
    file.write_text(file.read_text()[:-9])
    assert ProfileCache(tmp_path).get(tiny_profile.id) is None
    assert ProfileCache(tmp_path).get(b"none") is None


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tiny_profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    profiles = ProfileCache(tmp_path / "file" / "below")
    profiles.add(tiny_profile)
    assert profiles.get(tiny_profile.id) == tiny_profile


async def test_a_closed_client_says_so(photograph: Photograph) -> None:
    client = AsyncClient()
    with pytest.raises(OvertoneError, match="with statement"):
        await client.classify(photograph)
    with pytest.raises(OvertoneError, match="with statement"):
        Client().classify(photograph)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_the_card_is_there(scheme: str, tiny_profile: Profile) -> None:
    async with serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        assert (await client.card())["name"] == "tiny"


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_synchronous_client_does_the_same(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    with in_thread(serve(scheme, tiny_profile)) as address, Client(address, top=1) as client:
        assert client.profile == tiny_profile
        assert client.classify(photograph).label == "class 3"
        assert client.card()["name"] == "tiny"
        results = list(client.stream([photograph, b"bad", photograph]))
        assert [result.answer is not None for result in results] == [True, False, True]
        for _ in client.stream([photograph] * 10):
            break
        with pytest.raises(DeadlineExceeded):
            client.classify(photograph, timeout=1e-6)


def test_the_synchronous_client_raises_what_went_wrong() -> None:
    with pytest.raises(Unavailable), Client("http://127.0.0.1:9", timeout=5.0):
        pass


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_stream_does_not_outlive_its_synchronous_client(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    with in_thread(serve(scheme, tiny_profile)) as address:
        with Client(address) as client:
            read_on, let_go = (client.stream([photograph]) for _ in range(2))
            assert next(read_on).answer is not None
            assert next(let_go).answer is not None
        with pytest.raises(OvertoneError, match="closed"):
            next(read_on)
        let_go.close()  # type: ignore[attr-defined]


def test_threads_may_share_a_client(photograph: Photograph, tiny_profile: Profile) -> None:
    labels: list[str] = []
    with in_thread(serve("http", tiny_profile)) as address, Client(address) as client:
        threads = [
            threading.Thread(target=lambda: labels.append(client.classify(photograph).label))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert labels == ["class 3"] * 4


def test_every_error_says_what_to_do_and_carries_a_code() -> None:
    for status in grpc.StatusCode:
        error = errors.from_code(status.name, "full")
        assert error.advice
        assert error.code != "UNKNOWN"
        assert "full" in str(error)
    assert isinstance(errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5), Refused)
    assert errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5).retry_after == 1.5
    assert isinstance(errors.from_code("SOMETHING_NEW", ""), errors.ServerFailed)


def test_folders_are_searched_and_files_taken_as_named(picture_folder: Path) -> None:
    (picture_folder / "val" / "notes.txt").write_text("no image")
    (picture_folder / "val" / ".hidden").mkdir()
    (picture_folder / "val" / ".hidden" / "a.jpg").write_bytes(b"")
    odd = picture_folder / "val" / "notes.txt"
    found = list(find([picture_folder / "val", odd, "missing.jpg"]))
    assert [path.name for path in found] == ["0.jpg", "1.jpg", "2.jpg"] * 2 + ["notes.txt", "missing.jpg"]


def test_truth_is_the_folder_when_it_names_a_class() -> None:
    names = class_names(["tench", "church"], ["n01", "n02"])
    assert truth(Path("/data/n02/a.jpg"), names) == "church"
    assert truth(Path("/data/tench/a.jpg"), names) == "tench"
    assert truth(Path("/data/holiday/a.jpg"), names) is None
    assert class_names(["tench"]) == {"tench": "tench"}


def test_jpeg_bytes_are_those_of_the_equivalent_size(photograph: Photograph) -> None:
    buffer = io.BytesIO()
    Image.fromarray(fit(open_rgb(photograph), 32)).save(buffer, "JPEG", quality=75, optimize=True)
    assert jpeg_bytes(photograph, 64) == len(buffer.getvalue())


async def test_http_connections_are_kept_for_an_occasional_image(
    monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    app = FakeRest(tiny_profile, rest_answer())
    peers: list[tuple[str, int]] = []
    clock = SimpleNamespace(now=0.0)

    async def noting(request: Request) -> Response:
        peers.append(request.peer)
        return await app(request)

    monkeypatch.setattr("httpcore._async.http11.time", SimpleNamespace(monotonic=lambda: clock.now))
    async with serve_rest(noting) as address, AsyncClient(address) as client:
        for clock.now in (1.0, 50.0, 100.0, 175.0):
            await client.classify(photograph)
    profile, *images = peers
    assert images[:3] == [profile] * 3
    assert images[3] != profile  # the server has closed it


class Starting(FakeCascade):
    """Says several times that it is not ready yet."""

    def __init__(self, profile: Profile, times: int, retry_after_ms: str | None) -> None:
        super().__init__(profile, confident)
        self.left, self.retry_after_ms = times, retry_after_ms

    async def admit(self, context: grpc.aio.ServicerContext) -> None:
        if self.left:
            self.left -= 1
            pause = (("grpc-retry-pushback-ms", self.retry_after_ms),) if self.retry_after_ms else ()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading", pause)


@pytest.mark.parametrize("retry_after_ms", ["20", None])
async def test_a_server_that_says_when_to_ask_again_is_waited_for(
    retry_after_ms: str | None, tiny_profile: Profile
) -> None:
    starting = Starting(tiny_profile, 7, retry_after_ms)
    async with serve_grpc(starting) as address:
        if retry_after_ms:
            async with AsyncClient(address) as client:
                assert client.profile == tiny_profile
        else:
            with pytest.raises(Unavailable, match="loading"):
                await AsyncClient(address).__aenter__()
            assert starting.left == 7 - len(FIRST_PAUSES)


async def test_a_server_that_starts_too_late_is_not_waited_for() -> None:
    asked = []

    async def loading(request: Request) -> Response:
        asked.append(request.path)
        return rest_error(503, "UNAVAILABLE", retry_after="3600")

    async with serve_rest(loading) as address:
        with pytest.raises(Unavailable) as caught:
            await AsyncClient(address).__aenter__()
    assert caught.value.retry_after == 3600
    assert len(asked) == 1


async def test_an_image_that_was_encoded_before_is_sent_as_it_is(
    photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    encoded = encode_image(photograph, tiny_profile, 3)
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert (await client.classify(encoded)).label == "class 3"
        assert cascade.images[0].low == encoded.encoded.low
        with pytest.raises(WrongProfile):
            await client.classify(encode_image(photograph, other_profile))
    assert len(cascade.images) == 1


async def test_a_stream_takes_no_image_before_it_can_be_sent(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """The image of a camera must not grow old while it waits for others."""
    taken = 0
    release = asyncio.Event()

    def camera() -> Iterator[Photograph]:
        nonlocal taken
        while True:
            taken += 1
            yield photograph

    async def held(stream: Stream, image: pb.Image) -> None:
        await release.wait()
        await stream.answer(image.id)

    cascade = FakeCascade(tiny_profile, held)
    async with (
        serve_grpc(cascade) as address,
        AsyncClient(address) as client,
        contextlib.aclosing(client.stream(camera(), in_flight=2)) as results,
    ):
        first = asyncio.ensure_future(anext(results))
        while len(cascade.images) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert taken == 2
        release.set()
        await first


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_iterable_that_blocks_does_not_hold_the_event_loop(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    """Neither while the loop runs, nor when it is closed."""
    unplugged = threading.Event()

    def camera() -> Iterator[Photograph]:
        yield photograph
        unplugged.wait()

    async def main() -> None:
        async with (
            serve(scheme, tiny_profile) as address,
            AsyncClient(address) as client,
            contextlib.aclosing(client.stream(camera())) as results,
        ):
            assert (await anext(results)).answer is not None
            assert (await client.classify(photograph)).label == "class 3"

    running = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    running.start()
    running.join(timeout=20)
    stuck = running.is_alive()
    unplugged.set()
    running.join()
    assert not stuck
