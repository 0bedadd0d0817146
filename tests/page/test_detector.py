"""The live page where the server's model is a detector: boxes, the blocks that were asked for, and a list of things."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from overtone.frequency import (
    BlockMask,
    encode,
    encode_further,
    encode_region,
    join,
    letter_boxed,
    open_rgb,
    part_of,
)
from overtone.gpu_server.serve import Running
from overtone.models.detection.checkpoint import read_detector_card
from tests.conftest import Photograph
from tests.page.conftest import Open
from tests.page.test_page import FINAL, choose, once, point, posts, states

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

FOUND: dict[str, Any] = {
    "task": "detect",
    "detections": [
        # Its mask is the middle column of three.
        {
            "label": "dog",
            "index": 1,
            "probability": 0.91,
            "box": [0.1, 0.1, 0.5, 0.9],
            "mask": {"size": [2, 3], "counts": "222"},
        },
        {"label": "dog", "index": 1, "probability": 0.62, "box": [0.6, 0.4, 0.9, 0.8]},
        {"label": "cat", "index": 0, "probability": 0.55, "box": [0.0, 0.0, 0.2, 0.2]},
    ],
    "stage": "low",
    "confident": True,
    "layers": 1,
    "model": "tiny-detector",
    "timings": {"queue_ms": 0.1, "compute_ms": 0.1},
}


# What is drawn at a pixel of the first thing's mask, and at one where nothing is, away from boxes and labels.
PIXELS = """() => [[70, 60], [122, 90]].map(([x, y]) =>
  [...document.querySelector("#found").getContext("2d").getImageData(x, y, 1, 1).data])"""


async def drawn(page: "Page") -> str:
    """What is drawn now."""
    shown: str = await page.evaluate("document.querySelector('#found').toDataURL()")
    return shown


async def test_a_picture_is_sent_in_the_blocks_that_are_asked_for(
    detector: Running, opened: Open, png: bytes, photograph: Photograph, tiny_detector: Path
) -> None:
    profile = read_detector_card(tiny_detector).profile
    square = letter_boxed(open_rgb(photograph), profile.size)
    sent = encode_further(encode(square, part_of(profile, layers=1)), profile)
    height, width, _ = photograph.shape
    async with opened(detector) as page:
        made = posts(page)
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        first, further = [asked for asked in made if "/v1/images" in asked.url]
        assert f"width={width}&height={height}" in first.url
        assert first.post_data_buffer == join(sent.layers[:1])
        replies = [await asked.response() for asked in (first, further)]
        wanted, answer = [await reply.json() for reply in replies if reply]
        mask = BlockMask.unpack(base64.b64decode(wanted["blocks"]), (profile.blocks, profile.blocks))
        region = encode_region(sent, profile, mask)
        assert further.post_data_buffer == join(region.layers[1:])
        assert await states(page) == ["known", "final"]
        assert f"{region.size:,} B" in await page.inner_text("#bytes")
        assert "blocks that are outlined" in await page.inner_text("#found-note")
        things = await page.locator("#things .name").all_inner_texts()
        assert [text.rsplit(" ", 1)[0] for text in things] == [
            found["label"] for found in answer["detections"]
        ]
        with_blocks = await drawn(page)
        # What the first layer alone tells, asked for once more, to be shown.
        assert [asked.post_data_buffer for asked in made if "/v1/detect" in asked.url] == [
            join(sent.layers[:1])
        ]
        await point(page, "always")
        await choose(page, png)
        await page.wait_for_selector("#found-note:has-text('No box was in doubt')")
        assert await states(page) == ["final", "spared"]
        assert await drawn(page) != with_blocks


async def test_things_are_listed_and_reached_with_the_keyboard(
    detector: Running, opened: Open, png: bytes
) -> None:
    async with opened(detector) as page:
        await once(page, "**/v1/images?*", 200, FOUND)
        await choose(page, png)
        await page.wait_for_selector(FINAL)
        assert (await page.inner_text("#answer")).lower() == "2 × dog, cat"
        assert await page.locator("#things .name").all_inner_texts() == ["dog 91%", "dog 62%", "cat 55%"]
        assert "top left, 20% wide and 20% high" in await page.inner_text("#things li:last-child")
        assert "dog 91%, dog 62%, cat 55%" in (await page.get_attribute("#found", "aria-label") or "")
        assert "3 things: dog 91%" in await page.inner_text("#said")
        everything = await drawn(page)
        masked = await page.evaluate(PIXELS)
        await page.focus("#things li:first-child button")
        alone = await drawn(page)
        assert alone != everything
        await page.keyboard.press("Tab")
        assert await drawn(page) not in (alone, everything)
        inside, outside = await page.evaluate(PIXELS)
        assert (masked[0] == inside, masked[1] == outside) == (False, True), (
            "the mask of another thing is gone"
        )
        await page.keyboard.press("Enter")
        pressed = [
            await each.get_attribute("aria-pressed") for each in await page.query_selector_all(".thing")
        ]
        assert pressed == ["false", "true", "false"]
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        assert await drawn(page) == everything


async def test_the_camera_finds_things_in_one_frame_after_the_other(detector: Running, opened: Open) -> None:
    async with opened(detector, permissions=["camera"]) as page:
        made = posts(page)
        await page.click("#camera")
        await page.wait_for_selector("#tally-text:text-matches('^([2-9]|[0-9]{2,}) images')")
        await page.click("#camera")
        assert await page.get_attribute("#camera", "aria-pressed") == "false"
        assert not [asked for asked in made if "/v1/detect" in asked.url]
        assert await page.is_visible("#scene")
