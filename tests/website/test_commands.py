"""Every command of ours in the documentation, and in the help of commands, is one that the programs take."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from overtone.cli import app
from tests.website.command_lines import command_lines, problem
from tests.website.markdown import PAGES, Page


def _problems(page: Page) -> Iterator[str]:
    for language, code in page.blocks():
        if language in ("", "sh", "yaml"):  # output of commands is fenced, without a language
            for words in command_lines(code):
                if found := problem(words):
                    yield f"{page}: {' '.join(words)}: {found}"
    for span in page.spans():
        for words in command_lines(span):
            if found := problem(words, whole=False):
                yield f"{page}: `{span}`: {found}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_options_exist(page: Page) -> None:
    assert list(_problems(page)) == []


def test_commands_are_found_at_all() -> None:
    found = [words for page in PAGES for _, code in page.blocks() for words in command_lines(code)]
    assert len(found) > 100
    assert {words[1] for words in found if words[0] == "overtone"} >= {
        "serve",
        "classify",
        "train",
        "bench",
        "link",
    }


def test_examples_of_the_help_exist() -> None:
    def examples(command: Any) -> Iterator[str]:
        yield command.epilog or ""
        for each in getattr(command, "commands", {}).values():
            yield from examples(each)

    text = "\n".join(examples(typer.main.get_command(app)))
    lines = list(command_lines(text))
    assert len(lines) > 30
    assert [(words, found) for words in lines if (found := problem(words))] == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("overtone serv", "No such command"),
        ("overtone serve --modle x", "No such option"),
        ("overtone classify", "Missing argument"),
        ("overtone train codec imagenette --data DIR --no-such 1", "No such option"),
        ("overtone train codce imagenette", "exit code 2"),
        ("overtone classify a.jpg --server", "requires an argument"),
        ("overtone classify a.jpg --timeout soon", "should be a valid number"),
        ("make demmo", "no target demmo"),
        ('make demo ARGS="--picturs DIR"', "No such option"),
        ("make demo ARG=x", "no variable ARG"),
        ("python -m overtone.benchmarks.codec.sped", "no module"),
        ("python -m overtone.benchmarks.codec.speed --qualty 3", "no option --qualty"),
        ("LINK=3g .venv/bin/overtone servee && true", "No such command"),
    ],
)
def test_a_mistake_is_found(line: str, what: str) -> None:
    (words,) = command_lines(line)
    assert what in problem(words)


@pytest.mark.parametrize(
    "line",
    [
        "overtone --install-completion    # nothing is installed by looking",
        "overtone calibrate CHECKPOINT --data DIR > out.json",
        "overtone train RECIPE --data DIR [--out runs/mine] [--resume]",
        "docker run --rm -v x:y overtone-client classify /images --server grpc://HOST:50051",
    ],
)
def test_what_is_right_passes(line: str) -> None:
    (words,) = command_lines(line)
    assert problem(words) == ""
