"""What does not depend on the transport: pictures, streams, profiles, and the synchronous client."""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.edge_client import (
    Address,
    AsyncClient,
    BadPicture,
    Client,
    DeadlineExceeded,
    OvertoneError,
    Refused,
    Tls,
    Unavailable,
    UsageError,
    errors,
)
from overtone.edge_client.pictures import class_names, find, jpeg_bytes, truth
from overtone.edge_client.profiles import Profiles
from overtone.frequency import Profile, encode, fit, open_rgb
from overtone.frequency.pixels import Source
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import (
    FakeCascade,
    FakeRest,
    Request,
    Response,
    Stream,
    confident,
    rest_answer,
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


@contextlib.contextmanager
def in_thread(scheme: str, profile: Profile) -> Iterator[str]:
    """The same, beside a test that is not asynchronous."""
    loop = asyncio.new_event_loop()
    ready: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(scheme, profile) as address:
            ready.put_nowait(address)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(ready.get(), loop).result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


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
async def test_any_source_is_the_same_picture(
    scheme: str, photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(photograph)
    picture.save(buffer, "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(buffer.getvalue())
    sources: list[Source] = [photograph, picture, buffer.getvalue(), path, str(path)]
    async with serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        answers = [await client.classify(source) for source in sources]
    assert len({answer.bytes_sent for answer in answers}) == 1


@pytest.mark.parametrize(
    "source", [b"not a picture", Path("nowhere.jpg"), np.zeros((4, 4), np.float32), Image.new("L", (0, 4)), 3]
)
async def test_a_bad_picture_is_said_before_anything_is_sent(source: Source, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        with pytest.raises(BadPicture):
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
    assert [result.picture is source for result, source in zip(results, sources, strict=True)] == [True] * 5
    assert [result.answer is not None for result in results] == [True, False, True, False, True]
    assert isinstance(results[1].error, BadPicture)
    assert isinstance(results[3].error, BadPicture)
    with pytest.raises(BadPicture):
        results[1].get()


async def test_a_stream_is_in_order_though_answers_are_not(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    pictures = [photograph // divisor for divisor in range(1, 9)]
    lows = [encode(fit(open_rgb(picture), 64), tiny_profile).low for picture in pictures]

    async def later_first(stream: Stream, image: pb.Image) -> None:
        await asyncio.sleep(0.05 if image.id % 2 else 0)
        await stream.answer(image.id, index=lows.index(image.low))

    cascade = FakeCascade(tiny_profile, later_first)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        results = [result async for result in client.stream(pictures)]
    assert [result.get().index for result in results] == list(range(8))
    assert all(result.picture is picture for result, picture in zip(results, pictures, strict=True))


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
    Profiles(tmp_path).add(tiny_profile)
    (file,) = (path for path in tmp_path.iterdir())
    assert Profiles(tmp_path).get(tiny_profile.id) == tiny_profile
    file.write_text(file.read_text()[:-9])
    assert Profiles(tmp_path).get(tiny_profile.id) is None
    assert Profiles(tmp_path).get(b"none") is None


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tiny_profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    profiles = Profiles(tmp_path / "file" / "below")
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
    with in_thread(scheme, tiny_profile) as address, Client(address, top=1) as client:
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
    with in_thread(scheme, tiny_profile) as address:
        with Client(address) as client:
            read_on, let_go = (client.stream([photograph]) for _ in range(2))
            assert next(read_on).answer is not None
            assert next(let_go).answer is not None
        with pytest.raises(OvertoneError, match="closed"):
            next(read_on)
        let_go.close()  # type: ignore[attr-defined]


def test_threads_may_share_a_client(photograph: Photograph, tiny_profile: Profile) -> None:
    labels: list[str] = []
    with in_thread("http", tiny_profile) as address, Client(address) as client:
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
    for kind in errors._BY_CODE.values():
        assert kind.advice
        assert kind.code
    assert isinstance(errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5), Refused)
    assert errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5).retry_after == 1.5
    assert "full" in str(errors.from_code("RESOURCE_EXHAUSTED", "full"))
    assert isinstance(errors.from_code("SOMETHING_NEW", ""), errors.ServerFailed)


def test_folders_are_searched_and_files_taken_as_named(picture_folder: Path) -> None:
    (picture_folder / "val" / "notes.txt").write_text("no picture")
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


async def test_http_connections_are_kept_for_a_picture_now_and_then(
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
    profile, *pictures = peers
    assert pictures[:3] == [profile] * 3
    assert pictures[3] != profile  # the server has closed it


class Starting:
    """A transport to a server that says several times that it is not ready yet."""

    credits = 1

    def __init__(self, profile: Profile, times: int, retry_after: float | None) -> None:
        self.served, self.left, self.retry_after = profile, times, retry_after
        self.closed = False

    async def profile(self, known: object, *, fresh: bool = False) -> Profile:
        if self.left:
            self.left -= 1
            raise Unavailable("the model is still loading", self.retry_after)
        return self.served

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("retry_after", [0.02, None, 3600.0])
async def test_a_server_that_says_it_is_starting_is_waited_for(
    retry_after: float | None, tiny_profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Starting(tiny_profile, 5, retry_after)
    monkeypatch.setattr("overtone.edge_client.client._transport", lambda *_: transport)
    monkeypatch.setattr(Starting, "known_card", None, raising=False)
    if retry_after == 0.02:
        async with AsyncClient() as client:
            assert client.profile == tiny_profile
    else:
        with pytest.raises(Unavailable, match="loading"):
            await AsyncClient().__aenter__()
        assert transport.left == 4
    assert transport.closed
