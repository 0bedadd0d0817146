"""Generates the reference page of the server's settings from the `Settings` class."""

from typing import Any

import typer.main

from overtone.benchmarks.markdown import table
from overtone.cli import app
from overtone.gpu_server.settings import KIB, MIB, Settings
from website.cells import cell, kind, number

HEAD = """---
hide: [toc]
---

# Settings

Every setting of `overtone serve` is an environment variable. Those with an entry in the last column are options too;
the option takes precedence. Times are in seconds unless the name says otherwise, sizes in bytes. Lists are separated
by commas. If a variable begins with `OVERTONE_` but is not a setting, the server exits at the start and names the
nearest setting.

[Running it in containers](../deploy.md) shows the settings in context, and [Security](../security.md#limits) what each
limit protects.
"""


def page() -> str:
    """The page as Markdown: a row for each setting with variable, type, default, meaning and option."""
    schema = Settings.model_json_schema()["properties"]
    options = _options()
    rows = [
        [
            f"`OVERTONE_{name.upper()}`",
            kind(schema[name], linked=False),
            _default(name, field.default),
            cell(field.description or ""),
            options.get(name, ""),
        ]
        for name, field in Settings.model_fields.items()
    ]
    return f"{HEAD}\n{table(('variable', 'value', 'default', 'meaning', 'option'), rows, left=5)}\n"


def _options() -> dict[str, str]:
    command: Any = typer.main.get_command(app)
    return {each.name: f"`{each.opts[0]}`" for each in command.commands["serve"].params}


def _default(name: str, value: Any) -> str:
    if value in (None, "", ()):
        return ""
    if "bytes" in name or name.endswith("memory"):
        for unit, text in ((MIB, "MiB"), (KIB, "KiB")):
            if value % unit == 0:
                return f"{value // unit} {text}"
    return f"`{str(value).lower()}`" if isinstance(value, bool | str) else number(value)
