"""The pages that are made from the code have all of it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from overtone.cli import app
from overtone.gpu_server.settings import Settings
from overtone.models import Accuracy, Card, OperatingPoint
from overtone.models.detection.card import DetectorCard
from overtone.protos import overtone_pb2
from tests.website.markdown import ROOT
from website import card, commands, contract, links, python, rest, settings
from website.cells import title


def test_the_command_line_has_every_command_and_option() -> None:
    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        yield name, command
        for word, each in getattr(command, "commands", {}).items():
            if not each.hidden:
                yield from walk(each, f"{name} {word}")

    page = commands.page()
    sections = dict(re.findall(r"^## (overtone .*)\n((?:(?!## ).*\n)*)", page, re.MULTILINE))
    for name, command in walk(typer.main.get_command(app), "overtone"):
        if name != "overtone":
            for parameter in command.params:
                if parameter.param_type_name == "option":
                    assert f"`{parameter.opts[0]}`" in sections[name], name
    assert "`--resume`" in sections["overtone train"], "the default command of a group"
    assert "overtone train recipe" not in sections


def test_settings_have_every_variable_and_its_option() -> None:
    page = settings.page()
    assert len(re.findall(r"^\| `OVERTONE_", page, re.MULTILINE)) == len(Settings.model_fields)
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    (line,) = (each for each in page.splitlines() if each.startswith("| `OVERTONE_STATE_BYTES`"))
    assert "| 64 MiB |" in line
    (line,) = (each for each in page.splitlines() if each.startswith("| `OVERTONE_TOKENS` "))
    assert line.endswith("| `--token` |")


def test_rest_has_every_route_and_body() -> None:
    page, document = rest.page(), json.loads(rest.openapi_json())
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"\n## {method.upper()} {path}\n" in page
    for name in document["components"]["schemas"]:
        assert page.count(f"\n### {title(name)}\n") == 1


def test_grpc_has_everything_that_the_contract_has() -> None:
    page = contract.page()
    described = overtone_pb2.DESCRIPTOR
    names = [*described.message_types_by_name, *described.enum_types_by_name, *described.services_by_name]
    assert sorted(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == sorted(names)
    for message in described.message_types_by_name.values():
        for field in message.fields:
            assert f" {field.name} = {field.number};" in page


@pytest.mark.parametrize("section", [Card, Accuracy, OperatingPoint, DetectorCard])
def test_the_card_has_every_field(section: Any) -> None:
    page = card.page()
    for name in section.model_fields:
        assert f"\n| `{name}` |" in page
    assert "of the answer after each layer" in page, "meanings of the docstring"
    assert page.count("| everything a device must know to encode for the checkpoint. |") == 2, "of the base"


def test_python_has_what_is_public() -> None:
    found = dict(python.pages())
    assert "::: overtone.edge_client.Client\n" in found["client"]
    assert "::: overtone.link.Link\n" in found["link"]


def test_links_fit_the_site() -> None:
    text = "[a](docs/use.md#a-device), ![b](docs/images/b.png), [c](CONTRIBUTING.md), [d](link/rate.py), [e](https://e)"
    fits = "[a](use.md#a-device), ![b](images/b.png), [c](contributing.md), d, [e](https://e)"
    assert links.in_site(text, "") == fits
    text = "[a](use.md), [b](../README.md#start), [c](#d)"
    assert links.in_site(text, "docs") == "[a](use.md), [b](index.md#start), [c](#d)"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    made = [*links.ROOT_PAGES.values(), *(f"reference/python/{name}.md" for name, _ in python.pages())]
    for name in (*(path.name for path in (ROOT / "docs").glob("*.md")), *made):
        assert f": {name}\n" in navigation
