"""Generates the reference page of the command line from the typer application."""

from collections.abc import Iterator
from typing import Any

import typer.main
from typer.core import TyperGroup

from overtone.benchmarks.markdown import table
from overtone.cli import app
from website.cells import cell

HEAD = """# Command line

`overtone COMMAND --help` prints the same. Errors are one line that says what to do, and the exit code is 0 only on
success. `--json` prints one object on standard output and nothing else.
"""


def page() -> str:
    """The page as Markdown: every command, in the order of `overtone --help`."""
    return "\n\n".join([HEAD, *_sections(typer.main.get_command(app), "overtone")]) + "\n"


def _sections(command: Any, name: str) -> Iterator[str]:
    if not isinstance(command, TyperGroup):
        yield _section(name, command)
        return
    if name != "overtone":
        # The default command of a group is hidden, and its parameters are the group's.
        first = next(iter(command.commands.values()))
        yield _section(name, first if first.hidden else command)
    for word, each in command.commands.items():
        if not each.hidden:
            yield from _sections(each, f"{name} {word}")


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    end = "COMMAND ..." if isinstance(command, TyperGroup) else "[OPTIONS]" if options else ""
    usage = " ".join([name, *(_placeholder(each) for each in arguments), end])
    found = [f"## {name}", str(command.help).replace("\f", "").strip(), f"```\n{usage.strip()}\n```"]
    if arguments:
        rows = [[f"`{cell(_placeholder(each))}`", cell(each.help or "")] for each in arguments]
        found.append(table(("argument", "meaning"), rows, left=2))
    if options:
        rows = [[_names(each), _default(each), _meaning(each)] for each in options]
        found.append(table(("option", "default", "meaning"), rows, left=3))
    found += _examples(command)
    return "\n\n".join(found)


def _placeholder(argument: Any) -> str:
    text = str(argument.metavar or argument.name.upper())
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.default in (None, False, "", ()) or callable(option.default):
        return ""
    return f"`{option.default}`"


def _meaning(option: Any) -> str:
    return cell(
        f"{option.help or ''} (Or {option.envvar} in the environment.)"
        if option.envvar
        else option.help or ""
    )


def _examples(command: Any) -> list[str]:
    if not command.epilog:
        return []
    lines = [line.strip() for line in command.epilog.strip().splitlines()[1:]]
    return ["Examples:", "\n".join(["```sh", *lines, "```"])]
