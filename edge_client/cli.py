"""The command of the device: `overtone classify`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from overtone import command
from overtone.edge_client.client import DEFAULT_ADDRESS, AsyncClient
from overtone.edge_client.plan import Policy

app = typer.Typer()


@app.command(
    epilog=command.examples(
        "overtone classify photograph.jpg",
        "overtone classify FOLDER --server grpc://HOST:50051 --policy on_demand",
        "overtone classify FOLDER --server https://HOST --token SECRET --json",
    )
)
def classify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATHS...", help="Image files, and folders of them.")
    ],
    server: Annotated[
        str, typer.Option(help="grpc://HOST:PORT, grpcs://, http:// or https://.")
    ] = DEFAULT_ADDRESS,
    policy: Annotated[
        str, typer.Option(help="When layers are sent: auto, on_demand, ahead or at_once.")
    ] = "auto",
    quality: Annotated[int | None, typer.Option(help="A quality of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="An operating point of the model's card.")] = "",
    model: Annotated[
        str, typer.Option(help="NAME or NAME:VERSION, where the server has several models.")
    ] = "",
    token: Annotated[
        str | None, typer.Option(envvar="OVERTONE_TOKEN", help="The token that the server asks for.")
    ] = None,
    authority: Annotated[
        Path | None,
        typer.Option(
            "--ca", "--authority", help="PEM file of the authority to trust for grpcs:// and https://."
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="PEM file of the client's own certificate, where the server asks for one."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of that certificate's key.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each image.")] = 10.0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep profiles in, which saves some kB at every start.")
    ] = None,
    json: command.Json = False,
) -> None:
    """Send images to a server and print the answers as they come."""

    def run() -> int:
        from overtone.edge_client.address import Tls
        from overtone.edge_client.classify import check_cache, classify_files

        client = AsyncClient(
            server,
            policy=cast(Policy, policy),
            quality=quality,
            operating_point=operating_point,
            token=token,
            tls=Tls(authority, certificate, key) if authority or certificate else None,
            timeout=timeout,
            cache=cache,
            model=model,
        )
        if cache is not None:
            check_cache(cache)
        return classify_files(client, paths, as_json=json)

    command.finish(command.call("classify", "client", run))
