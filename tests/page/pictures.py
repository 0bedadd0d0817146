"""The pictures of the live page in the documentation: `make pictures` takes them anew.

It starts servers of the bundled checkpoints and shows the page photographs that come with it, in Chromium.
"""

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from overtone.gpu_server.serve import running
from overtone.gpu_server.settings import Settings
from tests.page.conftest import PATIENCE, SWITCHES, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


async def take() -> None:
    """Take all pictures."""
    async with async_playwright() as playwright:
        own = playwright.chromium.executable_path
        browser = await playwright.chromium.launch(executable_path=chromium(own), args=SWITCHES)
        async with running(settings("photographs")) as server:
            await take_classifier(browser, f"http://{server.host}:{server.http_port}/")
        async with running(settings("voc2007")) as server:
            await take_detector(browser, f"http://{server.host}:{server.http_port}/")
        await browser.close()


def settings(model: str) -> Settings:
    """Those of a server on free ports, which is for one image at a time."""
    return Settings(model=model, grpc_port=0, http_port=0, batch_sizes=(1,), standing_delay=0)


async def take_classifier(browser: Browser, address: str) -> None:
    """Take the pictures of images that are classified."""
    for name, viewport, scheme in (
        ("light", WIDE, "light"),
        ("dark", WIDE, "dark"),
        ("phone", NARROW, "light"),
    ):
        page = await opened(browser, address, viewport, scheme)
        if name == "light":
            await save(page, "empty")
            await page.check("[name=link][value=nb-iot]", force=True)
            await page.click("[data-sample='/page/rocket.jpg']")
            await page.wait_for_selector(".frame:nth-child(3)[data-state=sending]")
            await save(page, "sending")
            await page.check("[name=link][value=none]", force=True)
        for sample in ("rocket", "coffee", "cat"):
            await page.click(f"[data-sample='/page/{sample}.jpg']")
            await page.wait_for_selector(".frame[data-state=final]")
        await page.wait_for_timeout(3000)  # for the bars to have grown, and figures of the server
        await save(page, name, full_page=True)


async def take_detector(browser: Browser, address: str) -> None:
    """Take the picture of one in which things are found, without what is above and below it."""
    page = await opened(browser, address, {"width": 900, "height": 860}, "light")
    await page.click("[data-sample='/page/cat.jpg']")
    await page.wait_for_selector(".frame[data-state=final]")
    await page.wait_for_selector("#things li")
    taken = Image.open(BytesIO(await page.locator("#scene").screenshot())).convert("RGB")
    taken.quantize(128).save(FOLDER / "page-detector.png", optimize=True)


async def opened(browser: Browser, address: str, viewport: Any, scheme: Any) -> Page:
    """The page, ready."""
    page = await browser.new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page.set_default_timeout(PATIENCE)
    await page.goto(address)
    await page.wait_for_selector("#server[data-state=ready]")
    return page


async def save(page: Page, name: str, full_page: bool = False) -> None:
    """Save a picture of the page."""
    taken = Image.open(BytesIO(await page.screenshot(full_page=full_page)))
    taken.convert("RGB").save(FOLDER / f"page-{name}.png", optimize=True)


if __name__ == "__main__":
    asyncio.run(take())
