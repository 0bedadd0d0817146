"""Generates the reference pages of the Python interface, which mkdocstrings fills from docstrings."""

import importlib
from collections.abc import Iterator

# Name of the page: package, title and introduction. Public are the names in a package's __all__.
PACKAGES = {
    "client": (
        "overtone.edge_client",
        "The client",
        "What a device uses. `Client`, `AsyncClient`, `Answer`, `Result`, `Tls` and `OvertoneError` are in `overtone`.",
    ),
    "frequency": (
        "overtone.frequency",
        "Coefficients and payloads",
        "Pixels to DCT coefficients to bytes, and back. Needs numpy and Pillow, no torch and no network.",
    ),
    "models": (
        "overtone.models",
        "Networks and checkpoints",
        "The networks, what they cost, and the files they are kept in.",
    ),
    "link": (
        "overtone.link",
        "Simulated links",
        "A TCP relay that behaves like a thin radio; [Links](../../links.md) has its profiles.",
    ),
}


def pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of the page of each package."""
    for name, (package, title, introduction) in PACKAGES.items():
        yield name, "\n\n".join([f"# {title}", introduction, *map(_entry, _public(package))]) + "\n"


def _public(package: str) -> list[str]:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None) or ["Link"]
    return [f"{package}.{name}" for name in names]


def _entry(path: str) -> str:
    return f"::: {path}"
