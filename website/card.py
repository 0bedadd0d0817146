"""Generates the reference page of the checkpoint's card from its pydantic models."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from overtone.benchmarks.markdown import table
from overtone.models import Card
from overtone.models.common_card import CommonCard
from overtone.models.detection.card import DetectorCard
from website.cells import cell, kind

HEAD = """# The card

A checkpoint is one safetensors file. It holds tensors and, as metadata in JSON, its card, which describes everything
else. `overtone models FILE` prints a summary of the card, `overtone models FILE --json` all of it; over REST it is
`GET /v1/model`. In the file the profile is a string, its canonical JSON, from which its id is computed ([The
protocol](../protocol.md#payload)). [Calibration](../calibration.md#what-can-be-guaranteed) says what the certificate
of an operating point promises.
"""
# An entry of the section "Attributes:" of a docstring, with its continuation lines.
ENTRY = re.compile(r"^    (?P<name>\w+): (?P<text>.*(?:\n {8,}.*)*)", re.MULTILINE)


def page() -> str:
    """The page as Markdown: every section of both kinds of card, with its fields."""
    sections: dict[str, Mapping[str, Any]] = {}
    for each in (Card, DetectorCard):
        schema = each.model_json_schema(mode="serialization")
        sections = {each.__name__: schema, **sections, **schema["$defs"]}
    return "\n\n".join([HEAD, *(_section(name, each) for name, each in sections.items())]) + "\n"


def _section(name: str, schema: Mapping[str, Any]) -> str:
    text = schema.get("description", "").partition("Attributes:")[0].strip()
    meanings = _meanings(schema.get("description", ""))
    if name in (Card.__name__, DetectorCard.__name__):
        meanings = _meanings(inspect.getdoc(CommonCard) or "") | meanings
    required = schema.get("required", ())
    rows = [
        [f"`{field}`", kind(each), "" if field in required else "optional", cell(meanings.get(field, ""))]
        for field, each in schema.get("properties", {}).items()
    ]
    return "\n\n".join([f"## {name}", text, table(("field", "value", "", "meaning"), rows, left=4)])


def _meanings(docstring: str) -> dict[str, str]:
    """The texts of a docstring's section "Attributes:", by name."""
    attributes = docstring.partition("Attributes:")[2]
    return {found["name"]: found["text"] for found in ENTRY.finditer(attributes)}
