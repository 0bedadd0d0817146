"""Tables in hand-written Markdown pages, replaced between markers by a command."""

import re
from collections.abc import Mapping
from pathlib import Path


class PageError(ValueError):
    """A page without the markers of a table."""


def fill(page: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->`, for every name.

    Raises:
        PageError: no such page, or a marker is missing.
    """
    page.write_text(filled(page, tables), "utf-8")


def filled(page: Path, tables: Mapping[str, str]) -> str:
    """The page as `fill` would write it.

    Raises:
        PageError: as `fill`.
    """
    if not page.is_file():
        raise PageError(f"{page}: no such file; run this in the project's own folder")
    text = page.read_text("utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise PageError(f"{page}: needs {begin} and {end} once each")
        replacement = f"{begin}\n{table}\n{end}"
        text = pattern.sub(lambda _, replacement=replacement: replacement, text)  # type: ignore[misc]
    return text
