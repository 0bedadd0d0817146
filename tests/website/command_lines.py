"""Command lines as documentation has them, and whether the programs that they name would take them."""

import ast
import contextlib
import importlib.util
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from overtone.cli import app
from tests.website.markdown import ROOT

PROGRAMS = ("overtone", "make", "python")
ENDS = frozenset({"&&", "||", "|", ";", "&"})
ASSIGNMENT = re.compile(r"[A-Z][A-Z_]*=")
# `overtone` in a container: its image runs it.
IMAGE = "overtone-client"
# What the parser raises: no such command, no such option, a value that cannot be read, something missing.
USAGE_ERROR: Any = typer.BadParameter.__base__
UNFINISHED = frozenset({"MissingParameter", "BadOptionUsage"})


def command_lines(code: str) -> Iterator[list[str]]:
    """The words of each command of ours in a shell block: without comments, redirections, and brackets of usage."""
    for line in code.replace("\\\n", " ").splitlines():
        yield from _split(line)


def _split(line: str) -> Iterator[list[str]]:
    plain = re.sub(r"\[(--?[^\]]*)\]", r"\1", line)  # [--out FILE] is optional
    try:
        lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # an open quotation mark: no shell
        return
    command: list[str] = []
    for word in (*words, ";"):
        if word in ENDS:
            if found := _ours(command):
                yield found
            command = []
        else:
            command.append(word)


def _ours(words: Sequence[str]) -> list[str]:
    """A command of ours, by its plain name and without what it redirects; empty if it is another program's."""
    left = list(words)
    while left and ASSIGNMENT.match(left[0]):
        left.pop(0)
    for i, word in enumerate(left):
        if set(word) <= {"<", ">"}:
            left = left[:i]
            break
    if left[:2] == ["docker", "run"] and IMAGE in left:
        return ["overtone", *left[left.index(IMAGE) + 1 :]]
    if left and Path(left[0]).name in PROGRAMS:
        return [Path(left[0]).name, *left[1:]]
    return []


def problem(words: Sequence[str], *, whole: bool = True) -> str:
    """Why a command would be refused before it did anything, or "".

    In a sentence a command need not be `whole`: what it requires may be missing.
    """
    program, *arguments = words
    if program == "make":
        return _problem_of_make(arguments, whole)
    if program == "python":
        return _problem_of_module(arguments)
    return _problem_of_overtone(arguments, whole)


def _problem_of_overtone(arguments: list[str], whole: bool) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what --help prints
            _parse(arguments)
    except typer.Exit as end:
        return f"exit code {end.exit_code}" if end.exit_code else ""
    except USAGE_ERROR as error:
        kind = type(error).__name__
        if not whole and kind in UNFINISHED:
            return ""
        # A value in capitals stands for one of the reader's own.
        if kind == "BadParameter" and any(word.isupper() for word in arguments):
            return ""
        return str(error.format_message())
    return ""


def _parse(arguments: list[str]) -> None:
    """Let the application parse a command as it would to run it, and not run it."""
    context = _root().make_context("overtone", list(arguments)) if arguments else None
    while context is not None and isinstance(context.command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        if not rest:  # the group alone
            return
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None  # there is an exception where there is no such command
        if not rest and isinstance(command, TyperGroup) and command.no_args_is_help:
            return
        context = command.make_context(name, rest, parent=context)


@cache
def _root() -> Any:
    """The command line without what its options do at once, such as installing completion."""
    root = typer.main.get_command(app)
    for command in _all(root):
        for parameter in command.params:
            parameter.callback = None
    return root


def _all(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _all(each)


def _problem_of_make(arguments: Sequence[str], whole: bool) -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    given = dict(word.split("=", 1) for word in arguments if ASSIGNMENT.match(word))
    targets = [word for word in arguments if "=" not in word]
    for name in given:
        if f"$({name})" not in makefile:
            return f"the Makefile has no variable {name}"
    for target in targets:
        recipe = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n|\n(?=\t))*)", makefile, re.MULTILINE)
        if recipe is None:
            return f"the Makefile has no target {target}"
        for line in recipe[1].splitlines():
            if "$(ARGS)" in line and "overtone " in line:
                command = line.strip().replace("$(BIN)/", "").replace("$(ARGS)", given.get("ARGS", ""))
                for words in command_lines(command):
                    if found := problem(words, whole=whole):
                        return found
    return ""


def _problem_of_module(arguments: Sequence[str]) -> str:
    if arguments[:1] != ["-m"]:
        return ""
    module = arguments[1]
    if module.partition(".")[0] not in ("overtone", "experiments"):
        return ""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return f"no module {module}"
    known = _texts(Path(spec.origin))
    options = [word.partition("=")[0] for word in arguments[2:] if word.startswith("--")]
    unknown = [option for option in options if option not in known]
    return f"{module} has no option {unknown[0]}" if unknown else ""


def _texts(source: Path) -> set[str]:
    """Strings of a module that look like options, and the options that typer makes of its parameters' names."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    constants = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)]
    strings = {each for each in constants if isinstance(each, str)}
    names = {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    return strings | {f"--{name.replace('_', '-')}" for name in names}
