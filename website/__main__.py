"""Write the pages of the site into a folder: `python -m website FOLDER`."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from website import card, commands, contract, links, python, rest, settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def write(folder: Path) -> None:
    """Write all pages and their images into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS / "images", folder / "images")
    shutil.copy(ROOT / "website" / "site.css", folder)
    for name, content in (*_hand_written(), *_generated()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")


def _hand_written() -> Iterator[tuple[str, str]]:
    """Pages of docs/ and of the repository's root, with their links adapted to the site."""
    for page in sorted(DOCS.glob("*.md")):
        yield page.name, links.in_site(page.read_text(encoding="utf-8"), "docs")
    for source, name in links.ROOT_PAGES.items():
        yield name, links.in_site((ROOT / source).read_text(encoding="utf-8"), "")


def _generated() -> Iterator[tuple[str, str]]:
    """The reference pages, which are generated from the code."""
    yield "reference/commands.md", commands.page()
    yield "reference/settings.md", settings.page()
    yield "reference/rest.md", rest.page()
    yield "reference/openapi.json", rest.openapi_json()
    yield "reference/grpc.md", contract.page()
    yield "reference/card.md", card.page()
    for name, content in python.pages():
        yield f"reference/python/{name}.md", content


if __name__ == "__main__":
    write(Path(sys.argv[1]))
