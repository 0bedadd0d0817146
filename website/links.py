"""Rewrites links between pages of the repository to the paths that these pages have in the site."""

import posixpath
import re

# Pages of the repository's root, and their names in the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
LINK = re.compile(r"(?P<bang>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def in_site(markdown: str, folder: str) -> str:
    """A page's Markdown with links for the site; `folder` is that of the page in the repository.

    Links to files that are no pages, such as source code, become their text: the site has no copy of them.
    """

    def replaced(link: re.Match[str]) -> str:
        target = link["target"]
        if "://" in target or target.startswith(("#", "mailto:")):
            return link[0]
        path, hash_sign, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(folder, path))
        if path in ROOT_PAGES:
            path = ROOT_PAGES[path]
        elif path.startswith("docs/"):
            path = path.removeprefix("docs/")
        else:
            return link["text"]
        return f"{link['bang']}[{link['text']}]({path}{hash_sign}{anchor})"

    return LINK.sub(replaced, markdown)
