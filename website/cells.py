"""Formatting for the cells of Markdown tables: text, numbers, and types of JSON schemas."""

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
    """Text on one line, with characters escaped that would end the cell or begin HTML."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def kind(schema: Mapping[str, Any], *, linked: bool = True) -> str:
    """The type of a JSON schema in a few words, with its bounds.

    Args:
        schema: the schema.
        linked: whether a schema that it refers to becomes a link to its heading; else it is called text.
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
    """The heading of a schema: its name, with its module where several modules have one of that name."""
    *modules, last = name.split("__")
    return f"{last} of {modules[-1]}" if modules else last


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def number(value: float) -> str:
    """A number, with separators of thousands from 100,000 on."""
    return f"{value:,}" if abs(value) >= 1e5 else str(value)


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    return [f"{sign} {number(schema[key])}" for key, sign in BOUNDS.items() if key in schema]
