"""The command of the service: `overtone serve`."""

from typing import Annotated

import typer

from overtone import command

app = typer.Typer()


@app.command(
    epilog=command.examples(
        "overtone serve",
        "overtone serve --model mine.safetensors --device cuda",
        "overtone serve --host 0.0.0.0 --token SECRET",
    )
)
def serve(
    model: Annotated[
        str | None, typer.Option(help="A .safetensors file, or the name of a bundled checkpoint.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 means all.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="0 means any free port.")] = None,
    http_port: Annotated[int | None, typer.Option(help="0 means any free port.")] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option("--token", help="Let in only clients that send this token; may be repeated."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or several: cuda:0,cuda:1.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the ports; 0 chooses by the machine.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the network on a CPU.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve a checkpoint over gRPC and REST.

    Every setting of gpu_server/settings.py can also be given as an environment variable, OVERTONE_ and its name.
    """
    given = locals()

    def run() -> None:
        from overtone.gpu_server.serve import run as serve_until_stopped
        from overtone.gpu_server.settings import read

        serve_until_stopped(read(**given))

    command.call("serve", "server", run)
