"""The page of the card, from the classes that read and write it."""

import re
from collections.abc import Mapping
from typing import Any

from overtone.benchmarks.markdown import table
from overtone.models import Card
from website.cells import cell, kind

HEAD = """# The card

A checkpoint is one safetensors file: tensors, and as metadata its card in JSON, which says everything else about
it. `overtone models FILE` prints a card, `overtone models FILE --json` all of it, and over REST `GET /v1/model` has
it. In the file the profile is a string of its own canonical JSON, of which its id is computed ([The
protocol](../protocol.md#payload)). What the certificate of an operating point promises is in
[Calibration](../calibration.md#what-can-be-guaranteed).
"""
# An entry of the section "Attributes:" of a docstring, with its continuation lines.
ENTRY = re.compile(r"^    (?P<name>\w+): (?P<text>.*(?:\n {8,}.*)*)", re.MULTILINE)


def page() -> str:
    """Every section of a card and its fields."""
    schema = Card.model_json_schema(mode="serialization")
    sections = {"Card": schema, **schema["$defs"]}
    return "\n\n".join([HEAD, *(_section(name, each) for name, each in sections.items())]) + "\n"


def _section(name: str, schema: Mapping[str, Any]) -> str:
    text, _, attributes = schema.get("description", "").partition("Attributes:")
    meanings = {found["name"]: found["text"] for found in ENTRY.finditer(attributes)}
    required = schema.get("required", ())
    rows = [
        [f"`{field}`", kind(each), "" if field in required else "optional", cell(meanings.get(field, ""))]
        for field, each in schema.get("properties", {}).items()
    ]
    return "\n\n".join([f"## {name}", text.strip(), table(("field", "value", "", "meaning"), rows, left=4)])
