"""Text and types in the cells of a table."""

import re
from collections.abc import Mapping
from typing import Any

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}
FORMATS = {"binary": "bytes", "path": "path"}


def cell(text: str) -> str:
    """Text on one line, without what would end a cell of a table or be taken for HTML."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def kind(schema: Mapping[str, Any], *, linked: bool = True) -> str:
    """What a JSON schema admits, in a few words.

    A schema that it names becomes a link to its heading; without headings it is called text, which people write it as.
    """
    if "$ref" in schema:
        name = title(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{slug(name)})" if linked else NAMES["string"]
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    if choices := schema.get("anyOf"):
        return " or ".join(kind(each, linked=linked) for each in choices if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {kind(items, linked=linked)}" if (items := schema.get("items")) else "list"
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    return " ".join([NAMES.get(schema.get("type", ""), "anything"), *_bounds(schema)])


def title(name: str) -> str:
    """The heading of a schema: its name, and its module where several have one of that name."""
    *modules, last = name.split("__")
    return f"{last} of {modules[-1]}" if modules else last


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def number(value: float) -> str:
    """A number, its thousands apart where there are many."""
    return f"{value:,}" if abs(value) >= 1e5 else str(value)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    return [f"{sign} {number(schema[key])}" for key, sign in BOUNDS.items() if key in schema]
