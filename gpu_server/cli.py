"""Commands of the service: `overtone serve`."""

from typing import Annotated, Any

import typer

from overtone import command

app = typer.Typer()


@app.command()
def serve(
    model: Annotated[
        str | None, typer.Option(help="A .safetensors file, or the name of a bundled one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    token: Annotated[list[str] | None, typer.Option(help="Let in who shows it; may be repeated.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the network on the CPU.")] = None,
) -> None:
    """Serve a checkpoint over gRPC and REST. Every setting is also a variable OVERTONE_NAME."""

    def run() -> None:
        from overtone.gpu_server.serve import run as serve_until_stopped
        from overtone.gpu_server.settings import read

        given: dict[str, Any] = {
            "model": model,
            "host": host,
            "grpc_port": grpc_port,
            "http_port": http_port,
            "tokens": tuple(token) if token else None,
            "device": device,
            "threads": threads,
        }
        serve_until_stopped(read(**{k: v for k, v in given.items() if v is not None}))

    command.call("serve", "server", run)
