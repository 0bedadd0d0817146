"""What the commands of all packages share: options, examples, and how an error ends a command."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Data = Annotated[
    Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/, a sub-folder per class.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode images.")]


class Default(TyperCommand):
    """A command in whose usage line its group's name stands for its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Click's, without the command's own name."""
        return super().make_context(parent.info_name, args, parent=parent.parent, **extra)


class WithDefault(TyperGroup):
    """A group whose first command is meant where none is named: `overtone train RECIPE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's, with the default command's name put in front where no command is named."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [next(iter(self.commands)), *args])


def call(name: str, extra: str, function: Callable[[], Any]) -> Any:
    """Run a command. An expected error is printed in one line; so is what to install if an extra is missing."""
    try:
        return function()
    except ModuleNotFoundError as error:
        fail(f"{name} needs {error.name}: pip install 'overtone[{extra}]'")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        fail(str(error))
    except KeyboardInterrupt as error:
        fail(str(error) or "interrupted", 130)


def finish(code: int | None) -> None:
    """Exit with this code, unless it is zero or None."""
    if code:
        raise typer.Exit(code)


def fail(message: str, code: int = 1) -> None:
    """Print one line on standard error and exit."""
    complain(message)
    raise typer.Exit(code)


def complain(message: str) -> None:
    """Print one line on standard error."""
    Console(stderr=True).print(
        f"overtone: {message}", style="red", highlight=False, soft_wrap=True, markup=False
    )


def examples(*lines: str) -> str:
    """The epilog of a command's help that shows these examples."""
    # The first, empty line keeps typer from taking away the indentation of the others.
    return "\n  ".join(("\nExamples:", *lines))
