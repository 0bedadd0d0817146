"""The part that the commands of all packages share: options, examples, and how an error ends a command."""

from collections.abc import Callable
from copy import copy
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

P = ParamSpec("P")
# The width of a table that goes to a file or a pipe.
PLAIN_WIDTH = 110
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print answers and errors, and nothing else.")]
Data = Annotated[
    Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/, a sub-folder per class.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode images.")]


class Default(TyperCommand):
    """The default command of a group: its usage line names the group instead of itself."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Click's, without the command's own name."""
        return super().make_context(parent.info_name, args, parent=parent.parent, **extra)


class WithDefault(TyperGroup):
    """A group whose first command runs if none is named, as in `overtone train RECIPE`.

    The group's help shows the parameters of that command above the list of the other commands.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's, with the default command's name in front unless a command or --help is given."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            self._check(args)
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def _check(self, args: list[str]) -> None:
        """Refuse a first word that is no file and looks like a mistyped command."""
        meant = get_close_matches(args[0], self.commands, 1, 0.7) if args else []
        if meant and not Path(args[0]).exists():
            what = next(iter(self.commands.values())).params[0].name
            fail(f"no {what} or subcommand {args[0]!r}; did you mean {meant[0]!r}?", 2)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Click's, with the parameters of the default command."""
        shown = copy(self)
        shown.params = [*next(iter(self.commands.values())).params, *self.params]
        shown.subcommand_metavar = "| COMMAND [ARGS]..."
        TyperGroup.format_help(shown, ctx, formatter)


def call(name: str, extra: str, function: Callable[[], Any]) -> Any:
    """Run the function of a command; an expected error is printed in one line and ends the process.

    Args:
        name: of the command.
        extra: of the package to install if a module is missing.
        function: what the command does.
    """
    try:
        return function()
    except ModuleNotFoundError as error:
        fail(f"{name} needs {error.name}: pip install 'overtone[{extra}]'")
    except BrokenPipeError:  # whoever read the output wants no more of it
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        fail(str(error))
    except KeyboardInterrupt as error:
        fail(str(error) or "interrupted", 130)


def reporting(name: str, extra: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorate a command so that its failures are reported as by `call`."""

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def run(*args: P.args, **options: P.kwargs) -> None:
            call(name, extra, lambda: function(*args, **options))

        return run

    return decorate


def finish(code: int | None) -> None:
    """Exit with this code, unless it is zero or None."""
    if code:
        raise typer.Exit(code)


def fail(message: str, code: int = 1) -> None:
    """Print one line on standard error and exit."""
    complain(message)
    raise typer.Exit(code)


def complain(message: str, console: Console | None = None) -> None:
    """Print one line about something that went wrong, on standard error if no console is given."""
    remark(message, console, "red")


def remark(message: str, console: Console | None = None, style: str = "") -> None:
    """Print one line that begins with the program's name, on standard error if no console is given."""
    (console or Console(stderr=True)).print(
        f"overtone: {message}", style=style, highlight=False, soft_wrap=True, markup=False
    )


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console for tables; in a file or a pipe it is `PLAIN_WIDTH` wide."""
    made = Console(stderr=stderr, quiet=quiet)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def examples(*lines: str) -> str:
    """The epilog of a command's help that shows these examples."""
    # The first, empty line keeps typer from taking away the indentation of the others.
    return "\n  ".join(("\nExamples:", *lines))
