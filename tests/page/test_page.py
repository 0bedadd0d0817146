"""The live page in a real browser, against a real server."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from overtone.frequency import Profile, encode, encode_further, fit, join, open_rgb, part_of
from overtone.gpu_server.serve import Running
from overtone.link.profiles import PROFILES
from tests.conftest import Photograph
from tests.page.conftest import Open
from tests.serving import Serve
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Route

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

GOLDEN = Path(__file__).parents[1] / "frequency" / "golden"
FINAL = ".frame[data-state=final]"
POINTS = ["first", "jump", "second", "third"]

DROP = """([name, type, data, kind]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(
    kind === "paste"
      ? new ClipboardEvent("paste", { ...options, clipboardData: carried })
      : new DragEvent(kind, { ...options, dataTransfer: carried }));
}"""


async def choose(page: "Page", content: bytes, name: str = "photograph.png", kind: str = "image/png") -> None:
    await page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})


async def drop(page: "Page", content: bytes, name: str, kind: str, how: str = "drop") -> None:
    await page.evaluate(DROP, [name, kind, base64.b64encode(content).decode(), how])


async def point(page: "Page", name: str) -> None:
    """Move the slider to an operating point, with the keyboard."""
    await page.focus("#point")
    await page.keyboard.press("Home")
    for _ in range(10):
        if await page.inner_text("#point-name") == name:
            return
        await page.keyboard.press("ArrowRight")
    raise AssertionError(f"no point {name}")


def posts(page: "Page") -> list["Request"]:
    """The requests with layers that the page has made."""
    made: list[Request] = []
    page.on("request", lambda asked: made.append(asked) if asked.method == "POST" else None)
    return made


def of_a_device(image: bytes, profile: Profile) -> tuple[bytes, ...]:
    """The layers of a Python device, which has tables for the first one, and for others when they are wanted."""
    at_first = encode(fit(open_rgb(image), profile.size), part_of(profile, layers=1))
    return encode_further(at_first, profile).layers


async def states(page: "Page") -> list[str]:
    return [
        await each.get_attribute("data-state") or ""
        for each in await page.query_selector_all(".frame[data-state]")
    ]


async def test_the_codec_writes_the_golden_payloads_in_a_browser(server: Running, opened: Open) -> None:
    layers, pixels = (json.loads((GOLDEN / f"{name}-v3.json").read_text()) for name in ("layers", "pixels"))
    whole = Profile.from_json(json.dumps(layers["profile"]))
    program = """async ([layers, id, pixels]) => {
      const { box, Codec } = await import("/page/device/device.js");
      const { Profile } = await import("/page/device/profile.js");
      const codec = await Codec.load(await fetch("/page/device/overtone.wasm"));
      const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      const known = new Profile(layers.profile, id);
      const coded = Object.values(layers.cases).map(({ values, quality }) =>
        codec.payloads(Int16Array.from(values), known, quality).map(hex));
      const rgb = Uint8Array.from(atob(pixels.rgb), (letter) => letter.charCodeAt(0));
      const { width, height } = pixels;
      const data = new Uint8Array(4 * width * height);
      for (let i = 0; i < width * height; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
      const profile = new Profile(pixels.profile, pixels.id);
      const fitted = codec.resized({ data, width, height }, box(width, height, profile.size), profile.size);
      return [coded, profile.qualities.map((quality) =>
        codec.payloads(codec.quantised(fitted, profile, quality), profile, quality).map(hex))];
    }"""
    async with opened(server) as page:
        coded, payloads = await page.evaluate(program, [layers, whole.id.hex(), pixels])
    assert coded == [case["payloads"] for case in layers["cases"].values()]
    assert payloads == list(pixels["payloads"].values())


async def test_the_client_of_the_npm_package_runs_in_a_browser(
    server: Running, opened: Open, photograph: Photograph, three_profile: Profile
) -> None:
    expected = encode(fit(open_rgb(photograph), three_profile.size), three_profile)
    height, width, _ = photograph.shape
    rgba = np.concatenate([photograph, np.full((height, width, 1), 255, np.uint8)], axis=-1)
    program = """async ([rgba, width, height]) => {
      const { Client } = await import("/page/client/index.js");
      const data = Uint8Array.from(atob(rgba), (letter) => letter.charCodeAt(0));
      return new Client(location.origin, { operatingPoint: "second" }).classify(data, width, height);
    }"""
    async with opened(server) as page:
        answer = await page.evaluate(program, [base64.b64encode(rgba.tobytes()).decode(), width, height])
    assert (answer["layers"], answer["bytesSent"]) == (2, sum(map(len, expected.layers[:2])))


async def test_a_chosen_image_is_sent_byte_for_byte_as_by_a_python_device(
    server: Running, opened: Open, png: bytes, three_profile: Profile
) -> None:
    expected = of_a_device(png, three_profile)
    async with opened(server) as page:
        made = posts(page)
        await point(page, "third")
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert [asked.post_data_buffer for asked in made] == [join([layer]) for layer in expected]
        assert await states(page) == ["known", "known", "final"]
        assert (await page.inner_text("#answer")).lower().startswith("class ")
        assert await page.inner_text("#said")
        assert (await page.inner_text("#tally-text")).startswith("1 image, ")
        assert f"{sum(map(len, expected)):,} B" in await page.inner_text("#bytes")


async def test_the_operating_point_decides_how_many_layers_are_sent(
    server: Running, opened: Open, png: bytes
) -> None:
    async with opened(server) as page:
        made = posts(page)
        await point(page, "first")
        assert "Nothing is guaranteed" in await page.inner_text("#point-note")
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert await states(page) == ["final", "spared", "spared"]
        await point(page, "jump")
        await choose(page, png)
        await page.wait_for_selector(".frame:nth-child(4)[data-state=final]")
        assert len(made) == 1 + 2
        assert (await page.inner_text("#tally-text")).startswith("2 images, ")
        await page.click("#reset")
        assert not await page.is_visible("#tally")


async def test_layers_go_together_where_asking_takes_longer_and_tables_come_when_they_are_wanted(
    server: Running, opened: Open, png: bytes, three_profile: Profile
) -> None:
    layers = encode(fit(open_rgb(png), three_profile.size), three_profile).layers
    fetched: list[str] = []
    async with opened(server) as page:
        page.on("request", lambda asked: fetched.append(asked.url) if "/v1/profile" in asked.url else None)
        made = posts(page)
        await page.check("[name=link][value=lte-m]", force=True)
        await point(page, "jump")
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert "the tables for others come" in await page.inner_text("#why")
        assert [url.partition("?")[2] for url in fetched] == ["after=1&layers=3"]
        await point(page, "first")
        await choose(page, png)
        await page.wait_for_selector(".frame:nth-child(2)[data-state=final]")
        assert "/v1/classify" in made[2].url
        assert made[2].post_data_buffer == join(layers)
        assert await states(page) == ["final", "spared", "spared"]
        assert "15% of images need layer 3, and asking takes 120 ms" in await page.inner_text("#why")
        assert f"{len(layers[1])} B, not needed" in await page.inner_text(".frame:nth-child(3)")
        wasted = sum(map(len, layers[1:]))
        assert f"{wasted} bytes of them were not needed" in await page.inner_text("#sum")
        await page.check("[name=policy][value=on_demand]", force=True)
        await choose(page, png)
        await page.wait_for_selector("#tally-text:has-text('3 images')")
        assert [asked.post_data_buffer for asked in made[3:]] == [join(layers[:1])]
        assert len(fetched) == 1
        assert "of tables" in await page.inner_text("#tally-note")


@pytest.mark.parametrize("how", ["drop", "paste"])
async def test_images_are_dropped_and_pasted(how: str, server: Running, opened: Open, png: bytes) -> None:
    async with opened(server) as page:
        await drop(page, png, "photograph.png", "image/png", how)
        await page.wait_for_selector(FINAL)


async def test_something_dragged_over_the_page_says_what_a_drop_does(
    server: Running, opened: Open, png: bytes
) -> None:
    async with opened(server) as page:
        await drop(page, png, "photograph.png", "image/png", "dragenter")
        assert await page.is_visible("#drop")
        await drop(page, png, "photograph.png", "image/png", "dragleave")
        assert not await page.is_visible("#drop")


async def test_several_files_are_classified_one_after_the_other(
    server: Running, opened: Open, png: bytes
) -> None:
    async with opened(server) as page:
        files: list[Any] = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png} for i in range(3)]
        await page.set_input_files("#file", files)
        await page.wait_for_selector("#tally-text:has-text('3 images')")


async def test_samples_that_the_server_lacks_are_not_offered(server: Running, opened: Open) -> None:
    async with opened(server) as page:
        await page.wait_for_selector(".samples li:nth-child(3)")
        await page.route("**/page/c*.jpg", lambda route: route.fulfill(status=404))
        await page.reload()
        await page.wait_for_selector(".samples li:nth-child(2)", state="hidden")
        assert [await each.is_visible() for each in await page.query_selector_all(".samples li")] == [
            False,
            False,
            True,
        ]


async def test_the_keyboard_reaches_a_photograph_and_sends_it(server: Running, opened: Open) -> None:
    async with opened(server) as page:
        for _ in range(10):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.dataset.sample ?? ''"):
                break
        await page.keyboard.press("Enter")
        await page.wait_for_selector(FINAL)


async def test_the_camera_runs_as_a_stream_until_it_is_stopped(server: Running, opened: Open) -> None:
    async with opened(server, permissions=["camera"]) as page:
        await page.click("#camera")
        await page.wait_for_selector("#tally-text:text-matches('^([3-9]|[0-9]{2,}) images')")
        assert "frames a second" in await page.inner_text("#sum")
        await page.click("[data-sample='/page/cat.jpg']")
        assert await page.get_attribute("#camera", "aria-pressed") == "false"
        await page.wait_for_selector(FINAL)
        await page.click("#camera")
        await page.wait_for_selector("#camera[aria-pressed=true]")  # the camera takes a moment
        await page.click("#camera")
        assert await page.get_attribute("#camera", "aria-pressed") == "false"
        assert await page.evaluate("document.querySelector('#video').srcObject === null")


async def test_a_camera_that_is_forbidden_is_a_sentence(server: Running, opened: Open) -> None:
    async with opened(server) as page:
        refuse = "async () => { throw new DOMException('', 'NotAllowedError') }"
        await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuse} }}")
        await page.click("#camera")
        await page.wait_for_selector("#notice:visible")
        assert "may not use the camera" in await page.inner_text("#notice")


async def test_a_link_holds_the_upload_back(
    server: Running, opened: Open, png: bytes, three_profile: Profile
) -> None:
    first = len(join(encode(fit(open_rgb(png), three_profile.size), three_profile).layers[:1]))
    held = int(8 * first / 60 + 300)  # milliseconds at 60 kbit/s, and half a round trip
    async with opened(server) as page:
        made = posts(page)
        await page.clock.install(time=0)
        await page.clock.pause_at(10_000)
        await point(page, "first")
        await page.check("[name=link][value=nb-iot]", force=True)
        assert "60 kbit/s" in await page.inner_text("#link-note")
        await choose(page, png)
        await page.wait_for_selector(".frame[data-state=sending]")
        await page.clock.run_for(held - 50)
        assert made == []
        await page.clock.run_for(100)
        await until(lambda: len(made) == 1)
        while not await page.query_selector(FINAL):  # the answer is held back too
            await page.clock.run_for(100)


async def test_links_are_those_of_the_package(server: Running, opened: Open) -> None:
    async with opened(server) as page:
        links = await page.evaluate("import('/page/link.js').then(({ LINKS }) => LINKS)")
    for name in ("nb-iot", "lte-m", "3g"):
        link, known = links[name], PROFILES[name]
        assert (link["rtt"], link["about"]) == (known.rtt, known.about)
        assert [link["up"], link["down"]] == [rate.bits for rate in (known.up, known.down)]


async def test_a_server_that_was_gone_gets_the_image_when_it_is_back(
    serve: Serve, three_checkpoint: Path, opened: Open, png: bytes
) -> None:
    async with serve(model=str(three_checkpoint)) as first:
        port, tab = first.http_port, opened(first)
        page = await tab.__aenter__()
    try:
        await choose(page, png)
        await page.wait_for_selector("#server[data-state=away]")
        assert "cannot be reached" in await page.inner_text("#notice")
        async with serve(model=str(three_checkpoint), http_port=port):
            await page.wait_for_selector(FINAL)
            assert await page.get_attribute("#server", "data-state") == "ready"
            assert not await page.is_visible("#notice")
    finally:
        await tab.__aexit__(None, None, None)


async def test_a_busy_server_is_asked_again_when_it_says(server: Running, opened: Open, png: bytes) -> None:
    refused = {"error": {"code": "RESOURCE_EXHAUSTED", "message": "too many images"}}
    async with opened(server) as page:
        await once(page, "**/v1/images?*", 429, refused, {"retry-after": "1"})
        await choose(page, png)
        await page.wait_for_selector("#server[data-state=busy]")
        assert "try again in 1 s" in await page.inner_text("#notice")
        await page.wait_for_selector(FINAL)
        assert not await page.is_visible("#notice")


async def test_another_model_is_described_again(server: Running, opened: Open, png: bytes) -> None:
    changed = {"error": {"code": "FAILED_PRECONDITION", "message": "another profile"}}
    async with opened(server) as page:
        await once(page, "**/v1/images?*", 409, changed)
        async with page.expect_request("**/v1/profile?*"):
            await choose(page, png)
        await page.wait_for_selector(FINAL)


async def test_a_server_that_forgot_the_first_layers_gets_them_again(
    server: Running, opened: Open, png: bytes, three_profile: Profile
) -> None:
    layers = of_a_device(png, three_profile)
    lost = {"error": {"code": "NOT_FOUND", "message": "lost"}}
    async with opened(server) as page:
        made = posts(page)
        await point(page, "second")
        await once(page, "**/v1/images/*/layers*", 410, lost)
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert [asked.post_data_buffer for asked in made] == [
            join(layers[:1]),
            join(layers[1:2]),
            join(layers[:2]),
        ]


async def once(
    page: "Page", pattern: str, status: int, body: Any, headers: dict[str, str] | None = None
) -> None:
    """Answer the next such request like this, in place of the server."""

    async def answer(route: "Route") -> None:
        await route.fulfill(status=status, json=body, headers=headers)

    await page.route(pattern, answer, times=1)


async def test_a_token_is_asked_for_and_kept(
    serve: Serve, opened: Open, three_checkpoint: Path, png: bytes
) -> None:
    async with (
        serve(model=str(three_checkpoint), tokens=("secret",)) as guarded,
        opened(guarded, ready=False) as page,
    ):
        await page.fill("#token:visible", "wrong")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#ask-text:has-text('does not know')")
        await page.fill("#token:visible", "secret")
        await page.click("#ask button")
        await page.wait_for_selector("#server[data-state=ready]")
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        await page.wait_for_selector("#live-note:has-text('administrators')")
        await page.reload()
        await page.wait_for_selector("#server[data-state=ready]")


async def test_the_server_is_shown_live(server: Running, opened: Open, png: bytes) -> None:
    async with opened(server) as page:
        await page.wait_for_selector("#live dd")
        assert "Images answered" in await page.inner_text("#live")


def wide(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "content", "sentence"),
    [
        ("notes.txt", "text/plain", b"no image", "“notes.txt” is not an image"),
        ("broken.png", "image/png", b"\x89PNG\r\n\x1a\n broken", "cannot be read as an image"),
        ("long.png", "image/png", wide(9000, 8000), "72 megapixels"),
    ],
)
async def test_what_is_no_usable_image_is_a_sentence(
    name: str, kind: str, content: bytes, sentence: str, server: Running, opened: Open, png: bytes
) -> None:
    async with opened(server) as page:
        made = posts(page)
        await drop(page, content, name, kind)
        await page.wait_for_selector("#notice:visible")
        assert sentence in await page.inner_text("#notice")
        assert made == []
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert not await page.is_visible("#notice")


async def test_a_huge_file_is_not_even_read(server: Running, opened: Open) -> None:
    async with opened(server) as page:
        program = """import('/page/images.js').then(({ opened }) =>
          opened(new File([new Uint8Array(65 * 2 ** 20)], "film.jpg", { type: "image/jpeg" })))
          .catch((problem) => problem.message)"""
        assert "65 MB" in await page.evaluate(program)
