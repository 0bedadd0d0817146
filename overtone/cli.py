"""The command line: the commands of all packages."""

from typing import Annotated

import typer

from overtone import __version__, command
from overtone import catalogue_cli as catalogue
from overtone.benchmarks import cli as benchmarks
from overtone.describe import cli as describe
from overtone.edge_client import cli as edge_client
from overtone.gpu_server import cli as gpu_server
from overtone.link import cli as link
from overtone.training import cli as training

# The panels of `overtone --help`, and the packages whose commands each has.
GROUPS = {
    "Device": (edge_client, describe),
    "Server": (gpu_server, catalogue),
    "Training": (training,),
    "Bench": (benchmarks, link),
}

app = typer.Typer(
    help="Image inference for devices on thin links.",
    epilog=command.examples(
        "overtone demo",
        "overtone serve --host 0.0.0.0",
        "overtone classify photograph.jpg",
        "overtone watch FOLDER --server grpc://HOST:50051",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group, packages in GROUPS.items():
    for package in packages:
        for info in (*package.app.registered_commands, *package.app.registered_groups):
            info.rich_help_panel = group
        app.add_typer(package.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"overtone {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, as `python -m overtone` does."""
    app(prog_name="python -m overtone")
