"""Generates the reference page of the REST interface from the OpenAPI document of a server."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from overtone.benchmarks.markdown import table
from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from website.cells import cell, kind, title

HEAD = """# REST

A server describes this interface itself, at `/openapi.json` and, to try it out, `/docs`;
[openapi.json](openapi.json) is the same document. [The protocol](../protocol.md#rest) says how a device uses it, and
what the bodies hold. With `--token` or `--tokens-file` every request except those for health needs the header
`Authorization: Bearer TOKEN`.
"""

# The text in place of OpenAPI's status "default".
OTHERWISE = "any other"

Json = Mapping[str, Any]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of a server with one model, without starting it."""
    found: dict[str, Any] = create_app(Service(Settings())).openapi()
    return found


def openapi_json() -> str:
    """The document as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False)


def page() -> str:
    """The page as Markdown: every route, and every JSON body."""
    described = document()
    routes = [
        _route(f"{method.upper()} {path}", each)
        for path, methods in described["paths"].items()
        for method, each in methods.items()
    ]
    bodies = [_body(name, each) for name, each in described["components"]["schemas"].items()]
    return "\n\n".join([HEAD, *routes, "## Bodies", *bodies]) + "\n"


def _route(title: str, described: Json) -> str:
    parts = [f"## {title}", described.get("description", described.get("summary", ""))]
    if parameters := described.get("parameters"):
        rows = [
            [f"`{each['name']}`", each["in"], kind(each["schema"]), "yes" if each.get("required") else ""]
            for each in parameters
        ]
        parts.append(table(("parameter", "in", "value", "required"), rows, left=4))
    if body := described.get("requestBody"):
        parts.append("Body: " + ", ".join(_content(body)))
    rows = [
        [OTHERWISE if code == "default" else code, ", ".join(_content(each))]
        for code, each in sorted(described["responses"].items())
    ]
    parts.append(table(("response", "body"), rows, left=2))
    return "\n\n".join(parts)


def _content(described: Json) -> Iterator[str]:
    for media, each in described.get("content", {}).items():
        schema = each.get("schema", {})
        named = "$ref" in schema or "anyOf" in schema
        yield f"`{media}` {kind(schema)}" if named else f"`{media}`"


def _body(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        [f"`{field}`", kind(each), "" if field in required else "optional", cell(each.get("description", ""))]
        for field, each in schema.get("properties", {}).items()
    ]
    fields = table(("field", "value", "", ""), rows, left=4) if rows else ""
    return "\n\n".join(filter(None, (f"### {title(name)}", schema.get("description", ""), fields)))
