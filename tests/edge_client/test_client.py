"""What does not depend on the transport: options, images, profiles, and the synchronous client."""

import asyncio
import io
import threading
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from PIL import Image

from overtone.edge_client import Address, AsyncClient, Client, Tls, encode_image, errors
from overtone.edge_client.profile_cache import ProfileCache
from overtone.frequency import Profile, Source, encode, fit, open_rgb
from overtone.link import Link
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.edge_client.conftest import Talk
from tests.waiting import until


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
    with pytest.raises(errors.UsageError, match="grpc://HOST"):
        AsyncClient(text)


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="on_demand"):
        AsyncClient(policy="sometimes")  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="grpcs"):
        AsyncClient("grpc://h", tls=Tls())
    with pytest.raises(errors.UsageError, match="timeout"):
        AsyncClient(timeout=0)
    with pytest.raises(errors.UsageError, match="top"):
        AsyncClient(top=0)
    for token in ("", "two words", "lines\r\n", "geheim\u00e4"):
        with pytest.raises(errors.UsageError, match="token"):
            AsyncClient(token=token)
    for scheme in ("grpcs", "https"):
        with pytest.raises(errors.UsageError, match=r"none\.pem"):
            asyncio.run(AsyncClient(f"{scheme}://h", tls=Tls(tmp_path / "none.pem")).__aenter__())


@pytest.mark.parametrize("address", ["http://\u2603.x", "https://\u2603.x"])
async def test_a_host_that_cannot_be_written_is_refused(address: str) -> None:
    with pytest.raises(errors.UsageError, match="cannot use the address"):
        async with AsyncClient(address):
            pass


async def test_a_quality_the_profile_lacks_is_refused(tiny_profile: Profile) -> None:
    async with fakes.serve("grpc", tiny_profile) as address:
        with pytest.raises(errors.UsageError, match=r"\[1, 2, 3\]"):
            async with AsyncClient(address, quality=9):
                pass


@pytest.mark.parametrize("quality", [1, 3])
async def test_quality_is_what_is_encoded(
    talk: Talk, quality: int, photograph: Photograph, tiny_profile: Profile
) -> None:
    async with talk(fakes.confident, quality=quality) as (cascade, client):
        await client.classify(photograph)
    assert (
        cascade.images[0].layers[0] == encode(fit(open_rgb(photograph), 64), tiny_profile, quality).layers[0]
    )


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
    async with fakes.serve(scheme, tiny_profile) as address, AsyncClient(address) as client:
        answers = [await client.classify(source) for source in sources]
    assert len({answer.bytes_sent for answer in answers}) == 1


@pytest.mark.parametrize(
    "source", [b"not a image", Path("nowhere.jpg"), np.zeros((4, 4), np.float32), Image.new("L", (0, 4)), 3]
)
async def test_a_bad_image_is_refused_before_anything_is_sent(talk: Talk, source: Source) -> None:
    async with talk(fakes.confident) as (cascade, client):
        with pytest.raises(errors.BadImage):
            await client.classify(source)
    assert not cascade.images


async def test_a_profile_is_fetched_once_and_kept(
    photograph: Photograph, tiny_profile: Profile, tmp_path: Path
) -> None:
    cascade, rest = (
        fakes.FakeCascade(tiny_profile, fakes.confident),
        fakes.FakeRest(tiny_profile, fakes.rest_answer()),
    )
    async with fakes.serve_grpc(cascade) as grpc_address, fakes.serve_rest(rest) as rest_address:
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
    with pytest.raises(errors.OvertoneError, match="with statement"):
        await client.classify(photograph)
    with pytest.raises(errors.OvertoneError, match="with statement"):
        Client().classify(photograph)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_synchronous_client_does_the_same(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    with fakes.in_thread(fakes.serve(scheme, tiny_profile)) as address, Client(address, top=1) as client:
        assert client.profile == tiny_profile
        assert client.classify(photograph).label == "class 3"
        assert client.card()["name"] == "tiny"
        results = list(client.stream([photograph, b"bad", photograph]))
        assert [result.answer is not None for result in results] == [True, False, True]
        for _ in client.stream([photograph] * 10):
            break
        with pytest.raises(errors.DeadlineExceeded):
            client.classify(photograph, timeout=1e-6)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_no_server_is_reported_soon(scheme: str, tiny_profile: Profile) -> None:
    async with fakes.serve(scheme, tiny_profile) as address:
        pass
    with pytest.raises(errors.Unavailable, match="overtone serve") as caught:
        async with AsyncClient(address, timeout=60.0):
            pass
    assert str(caught.value).count("check") == 1  # one piece of advice


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_a_link_cut_and_restored_is_survived(
    scheme: str, photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = fakes.FakeCascade(tiny_profile, fakes.silent, fakes.escalating)
    app = fakes.FakeRest(tiny_profile, fakes.hang, fakes.rest_answer("high"))
    async with (
        fakes.serve_grpc(cascade) if scheme == "grpc" else fakes.serve_rest(app) as address,
        Link(address.partition("//")[2]) as link,
        AsyncClient(f"{scheme}://{link.address}") as client,
    ):
        asking = asyncio.create_task(client.classify(photograph))
        await until(lambda: cascade.images or app.posts)
        await link.cut()
        await asyncio.sleep(0.1)
        link.restore()
        assert (await asking).stage == "high"


def test_the_synchronous_client_raises_what_went_wrong() -> None:
    with pytest.raises(errors.Unavailable), Client("http://127.0.0.1:9", timeout=5.0):
        pass


def test_threads_may_share_a_client(photograph: Photograph, tiny_profile: Profile) -> None:
    labels: list[str] = []
    with fakes.in_thread(fakes.serve("http", tiny_profile)) as address, Client(address) as client:
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
        assert "full" in str(error) or isinstance(error, errors.WrongVersion)
    assert isinstance(errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5), errors.Refused)
    assert errors.from_code("RESOURCE_EXHAUSTED", "full", 1.5).retry_after == 1.5
    assert isinstance(errors.from_code("SOMETHING_NEW", ""), errors.ServerFailed)


async def test_http_connections_are_kept_for_an_occasional_image(
    monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    app = fakes.FakeRest(tiny_profile, fakes.rest_answer())
    peers: list[tuple[str, int]] = []
    clock = SimpleNamespace(now=0.0)

    async def noting(request: fakes.Request) -> fakes.Response:
        peers.append(request.peer)
        return await app(request)

    monkeypatch.setattr("httpcore._async.http11.time", SimpleNamespace(monotonic=lambda: clock.now))
    async with fakes.serve_rest(noting) as address, AsyncClient(address) as client:
        for clock.now in (1.0, 50.0, 100.0, 175.0):
            await client.classify(photograph)
    profile, *images = peers
    assert images[:3] == [profile] * 3
    assert images[3] != profile  # the server has closed it


class Starting(fakes.FakeCascade):
    """Says several times that it is not ready yet."""

    def __init__(self, profile: Profile, times: int, retry_after_ms: str | None) -> None:
        super().__init__(profile, fakes.confident)
        self.left, self.retry_after_ms = times, retry_after_ms

    async def admit(self, context: grpc.aio.ServicerContext) -> None:
        if self.left:
            self.left -= 1
            pause = (("grpc-retry-pushback-ms", self.retry_after_ms),) if self.retry_after_ms else ()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the model is still loading", pause)


@pytest.mark.parametrize("retry_after_ms", ["20", None])
async def test_a_server_that_is_starting_is_waited_for(
    retry_after_ms: str | None, tiny_profile: Profile
) -> None:
    starting = Starting(tiny_profile, 7, retry_after_ms)
    async with fakes.serve_grpc(starting) as address, AsyncClient(address) as client:
        assert client.profile == tiny_profile
    assert starting.left == 0


async def test_a_server_that_starts_too_late_is_not_waited_for() -> None:
    asked = []

    async def loading(request: fakes.Request) -> fakes.Response:
        asked.append(request.path)
        return fakes.rest_error(503, "UNAVAILABLE", retry_after="3600")

    async with fakes.serve_rest(loading) as address:
        with pytest.raises(errors.Unavailable) as caught:
            await AsyncClient(address).__aenter__()
    assert caught.value.retry_after == 3600
    assert len(asked) == 1


async def test_an_image_that_was_encoded_before_is_sent_as_it_is(
    talk: Talk, photograph: Photograph, tiny_profile: Profile, other_profile: Profile
) -> None:
    encoded = encode_image(photograph, tiny_profile, 3)
    async with talk(fakes.confident) as (cascade, client):
        assert (await client.classify(encoded)).label == "class 3"
        assert cascade.images[0].layers[0] == encoded.encoded.layers[0]
        with pytest.raises(errors.WrongProfile):
            await client.classify(encode_image(photograph, other_profile))
    assert len(cascade.images) == 1
