"""The site as it is built: all of its links lead somewhere, it can be searched, and it asks no other host."""

import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.page.conftest import SWITCHES, chromium
from tests.website.markdown import ROOT

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("zensical") is None, reason="zensical is not installed; `make docs` installs it"
    ),
]

# What a browser fetches by itself: not links that a reader may follow.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|url\(["']?((?:https?:)?//[^"')]+)"""
)
TARGET = re.compile(r"""\b(?:href|src)=(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")
ID = re.compile(r"""\b(?:id|name)=(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")


@pytest.fixture(scope="module")
def site() -> Path:
    for command in (("website", "build/docs"), ("zensical", "build", "--strict", "--clean")):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "site"


def _found(pattern: re.Pattern[str], page: Path) -> set[str]:
    return {unquote("".join(groups)) for groups in pattern.findall(page.read_text(encoding="utf-8"))}


def test_no_page_asks_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 25
    found = {str(page): asked for page in pages if (asked := _found(FETCHED, page))}
    assert found == {}


def test_a_browser_asks_no_other_host(site: Path) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install 'overtone[browser]'"
    )
    asked: set[str] = set()
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, playwright.sync_playwright() as started:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}/"
        own = started.chromium.executable_path
        page = started.chromium.launch(executable_path=chromium(own), args=SWITCHES).new_page()
        page.on("request", lambda request: asked.add(request.url))
        for name in ("index.html", "reference/python/client.html"):
            page.goto(here + name, wait_until="networkidle")
        server.shutdown()
    assert len(asked) > 5
    assert {url for url in asked if not url.startswith(here)} == set()


def test_every_link_leads_somewhere(site: Path) -> None:
    broken = []
    ids = {page.resolve(): _found(ID, page) for page in site.rglob("*.html")}
    for page in ids:
        for target in _found(TARGET, page):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:|//", target) or page.name == "404.html":
                continue
            file = (page.parent / path).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.exists() or (anchor and file in ids and anchor not in ids[file]):
                broken.append(f"{page.relative_to(site.resolve())}: {target}")
    assert broken == []


def test_it_can_be_searched(site: Path) -> None:
    (index,) = site.rglob("search*.json")
    text = index.read_text(encoding="utf-8")
    for word in ("OVERTONE_STATE_BYTES", "NeedMore", "conformal risk control", "AsyncClient"):
        assert word in text
