"""A real browser: Chromium through Playwright, with a camera that films a test pattern."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from PIL import Image

from overtone.gpu_server.serve import Running
from tests.conftest import Photograph
from tests.gpu_server.conftest import three_checkpoint, three_profile
from tests.serving import Serve

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

__all__ = ["three_checkpoint", "three_profile"]

# Milliseconds: a busy machine may take long, and nothing here waits for longer than it has to.
PATIENCE = 60_000
SWITCHES = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

Open = Callable[..., AbstractAsyncContextManager["Page"]]


def chromium(own: str) -> str:
    """The browser: OVERTONE_CHROMIUM, Playwright's own if `playwright install` has put it there, or one on the path."""
    named = os.environ.get("OVERTONE_CHROMIUM") or (own if Path(own).is_file() else None)
    found = (
        named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    if not found:
        pytest.skip("no Chromium: playwright install chromium, or name one in OVERTONE_CHROMIUM")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator["Browser"]:
    playwright = pytest.importorskip(
        "playwright.async_api", reason="no playwright: pip install 'overtone[browser]'"
    )
    async with playwright.async_playwright() as started:
        own = started.chromium.executable_path
        yield await started.chromium.launch(executable_path=chromium(own), args=SWITCHES)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(serve: Serve, three_checkpoint: Any) -> AsyncIterator[Running]:
    """A server of three layers that the tests share; its operating points say which layers answer."""
    async with serve(model=str(three_checkpoint)) as shared:
        yield shared


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def detector(serve: Serve, tiny_detector: Path) -> AsyncIterator[Running]:
    """A server whose model is a detector."""
    async with serve(model=str(tiny_detector)) as shared:
        yield shared


def address(server: Running) -> str:
    """The address of a server's page."""
    return f"http://{server.host}:{server.http_port}/"


@pytest.fixture
def opened(browser: "Browser") -> Open:
    """Opens the page of a server. It must ask nobody else, break no policy and raise no error."""

    @asynccontextmanager
    async def open_page(server: Running, ready: bool = True, **context: Any) -> AsyncIterator["Page"]:
        problems: list[str] = []
        async with await browser.new_context(**context) as tab:
            page = await tab.new_page()
            page.set_default_timeout(PATIENCE)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda told: problems.extend(_broken_policies(told.text)))
            page.on("request", lambda asked: problems.extend(_strange_addresses(asked.url, server)))
            await page.goto(address(server))
            if ready:
                await page.wait_for_selector("#server[data-state=ready]")
            yield page
        assert problems == []

    return open_page


def _broken_policies(told: str) -> list[str]:
    return [told] if "Content Security" in told else []


def _strange_addresses(url: str, server: Running) -> list[str]:
    return [] if url.startswith((address(server), "blob:")) else [f"asked {url}"]


@pytest.fixture(scope="session")
def png(photograph: Photograph) -> bytes:
    file = BytesIO()
    Image.fromarray(photograph).save(file, "PNG")
    return file.getvalue()
