"""The command `overtone models`, which lists checkpoints and shows the card of one, or of a server's model."""

import json as json_module
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from overtone import command
from overtone.catalogue import Entry, print_details, print_list
from overtone.edge_client.cli import Authority, Certificate, Key, Timeout, Token

app = typer.Typer()


@app.command(
    epilog=command.examples(
        "overtone models",
        "overtone models photographs",
        "overtone models mine.safetensors --json",
        "overtone models --server grpc://HOST:50051",
    ),
)
def models(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A .safetensors file, or the name of a bundled checkpoint; with --server, NAME or NAME:VERSION.",
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Ask this server for its model: grpc://HOST:PORT, http:// and so on.")
    ] = None,
    token: Token = None,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = 10.0,
    json: command.Json = False,
) -> None:
    """List the bundled checkpoints, or show what one of them, a file or a server says about its model."""

    def run() -> None:
        if server is not None:
            _show(_served(server, model or "", token, authority, certificate, key, timeout), json)
        elif model is not None:
            _show(_stored(model), json)
        else:
            _list(json)

    command.call("models", "client" if server else "server", run)


def _list(as_json: bool) -> None:
    from overtone.models.checkpoint import DISTRIBUTION, bundled

    entries = [_stored(path) for path in bundled().values()]
    if not entries:
        raise ValueError(f"no checkpoints are bundled here: pip install {DISTRIBUTION}")
    if as_json:
        _print_json({"models": [entry.summary() for entry in entries]})
    else:
        print_list(entries, Console())


def _show(entry: Entry, as_json: bool) -> None:
    if as_json:
        _print_json(entry.details())
    else:
        print_details(entry, Console())


def _stored(model: str | os.PathLike[str]) -> Entry:
    """The entry of a checkpoint on this machine.

    Raises:
        CheckpointError: it cannot be read.
    """
    from overtone.models import find
    from overtone.models.any_card import read_any_card

    path, card = find(model), read_any_card(model)
    fields = card.model_dump(mode="json", exclude={"profile"}) | {"certified": card.certified()}
    return Entry(fields, card.profile, str(path), path.stat().st_size)


def _served(
    server: str,
    model: str,
    token: str | None,
    authority: Path | None,
    certificate: Path | None,
    key: Path | None,
    timeout: float,
) -> Entry:
    """The entry of the model that a server serves.

    Raises:
        ValueError: the server did not answer; the message says why.
    """
    from overtone.edge_client import Tls
    from overtone.edge_client.open_client import open_client

    tls = Tls.of(authority, certificate, key)
    with open_client(server, model=model, token=token, tls=tls, timeout=timeout) as client:
        return Entry(client.card(), client.whole_profile(), server)


def _print_json(document: object) -> None:
    print(json_module.dumps(document, ensure_ascii=False))
