"""Commands of the device: `overtone classify`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from overtone import command

app = typer.Typer()


@app.command()
def classify(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders of them.")],
    server: Annotated[
        str, typer.Option(help="grpc://HOST:PORT, grpcs://, http:// or https://.")
    ] = "grpc://127.0.0.1:50051",
    policy: Annotated[str, typer.Option(help="auto, on_demand, ahead or at_once.")] = "auto",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    token: Annotated[str | None, typer.Option(envvar="OVERTONE_TOKEN", help="The server's.")] = None,
    authority: Annotated[Path | None, typer.Option(help="PEM to trust for grpcs:// and https://.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each picture.")] = 10.0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep profiles in: a few kB saved a start.")
    ] = None,
    json: command.Json = False,
) -> None:
    """Send pictures to a server and print the answers as they come."""

    def run() -> int:
        from overtone.edge_client import commands
        from overtone.edge_client.policy import Policy

        return commands.classify(
            paths,
            server,
            policy=cast(Policy, policy),
            quality=quality,
            operating_point=operating_point,
            token=token,
            authority=authority,
            timeout=timeout,
            cache=cache,
            as_json=json,
        )

    command.finish(command.call("classify", "client", run))
