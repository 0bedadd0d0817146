"""What is in a page of the documentation: blocks of code, code in sentences, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
# Indented by four spaces, after an empty line.
INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)*(?: {4}.*\n?)")
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Page:
    """A file of Markdown."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """It without blocks of code."""
        return INDENTED.sub("\n", FENCE.sub("", self.text))

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Language ("" of an indented block) and content of each block of code."""
        for found in FENCE.finditer(self.text):
            yield found["language"] or "text", found["code"]
        for found in INDENTED.finditer(FENCE.sub("", self.text)):
            yield "", "\n".join(line[4:] for line in found[0].splitlines())

    def spans(self) -> Iterator[str]:
        """Code in sentences and tables, on one line each."""
        for found in SPAN.finditer(self.prose):
            yield " ".join(found[1].split())

    def anchors(self) -> set[str]:
        """Of its headings, as GitHub makes them and the site does."""
        return {anchor(found[1]) for found in HEADING.finditer(FENCE.sub("", self.text))}

    def links(self) -> Iterator[str]:
        """Targets of its links and pictures."""
        for found in LINK.finditer(self.prose):
            yield found[1]


def anchor(heading: str) -> str:
    """Lower case, spaces as hyphens, no other punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


PAGES = [
    Page(path)
    for path in (
        *sorted((ROOT / "docs").glob("*.md")),
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")),
    )
]
