"""axe-core finds nothing serious on the page, in any of its states."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from overtone.gpu_server.serve import Running
from tests.page.conftest import Open
from tests.page.test_detector import FOUND
from tests.page.test_page import FINAL, choose, once

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

VARIABLE = "OVERTONE_AXE"


@pytest.fixture
def axe() -> str:
    """The source of axe-core: the file axe.min.js of the npm package, which the variable names."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"no axe-core: npm install axe-core, and name its axe.min.js in {VARIABLE}")
    return Path(named).read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_nothing_serious(
    scheme: Any, width: int, axe: str, server: Running, opened: Open, png: bytes
) -> None:
    looks: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    async with opened(server, viewport={"width": width, "height": 800}, bypass_csp=True, **looks) as page:
        await page.wait_for_selector("#live dd")
        await page.evaluate(axe)
        for state in ("empty", "answered", "problem"):
            if state == "answered":
                await choose(page, png)
                await page.wait_for_selector(FINAL)
            if state == "problem":
                await choose(page, b"no image", "notes.txt", "text/plain")
                await page.wait_for_selector("#notice:visible")
            assert await serious(page) == [], state


async def test_nothing_serious_where_things_are_found(
    axe: str, detector: Running, opened: Open, png: bytes
) -> None:
    async with opened(detector, bypass_csp=True, color_scheme="light", reduced_motion="reduce") as page:
        await page.evaluate(axe)
        await once(page, "**/v1/images?*", 200, FOUND)
        await choose(page, png)
        await page.wait_for_selector("#things li")
        assert await serious(page) == []
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size({"width": 390, "height": 800})
        assert await serious(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await once(page, "**/v1/images?*", 200, FOUND | {"detections": []})
        await choose(page, png)
        await page.wait_for_selector("#answer:has-text('Nothing found')")
        assert await page.inner_text("#nothing") == "Nothing was found."
        assert await serious(page) == []


async def serious(page: "Page") -> list[Any]:
    """What axe finds that keeps somebody out."""
    found = await page.evaluate("axe.run().then(({ violations }) => violations)")
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
