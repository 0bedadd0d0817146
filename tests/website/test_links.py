"""Links of the documentation lead somewhere, and the files that it names are there."""

import re
from collections.abc import Iterator

import pytest

from tests.website.markdown import PAGES, ROOT, Page

# In backticks: the path of a file or folder below one of the repository's folders.
FILE = re.compile(r"^(?P<top>[\w.]+)/[\w./-]*$")


def _problems(page: Page) -> Iterator[str]:
    for target in page.links():
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.path.parent / path).resolve() if path else page.path
        if not file.exists():
            yield f"{page}: {target}: no such file"
        elif anchor and anchor not in Page(file).anchors():
            yield f"{page}: {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_anchors_exist(page: Page) -> None:
    assert list(_problems(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_in_the_text_exist(page: Page) -> None:
    tops = {each.name for each in ROOT.iterdir() if each.is_dir()} - {"runs", "build"}
    named = {span for span in page.spans() if (found := FILE.match(span)) and found["top"] in tops}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_links_are_found_at_all() -> None:
    assert sum(len(list(page.links())) for page in PAGES) > 80
