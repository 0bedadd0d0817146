"""The command line: the commands of every package, mounted."""

import os
import sys
from typing import Annotated

import typer

from overtone import __version__
from overtone.benchmarks import cli as benchmarks
from overtone.describe import cli as describe
from overtone.edge_client import cli as edge_client
from overtone.gpu_server import cli as gpu_server
from overtone.link import cli as link
from overtone.training import cli as training

app = typer.Typer(
    help="Image inference for devices on thin links.", no_args_is_help=True, pretty_exceptions_enable=False
)
for package in (edge_client, gpu_server, training, describe, link, benchmarks):
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
    """Entry point for `python -m overtone`."""
    app(prog_name=os.path.basename(sys.argv[0]))
