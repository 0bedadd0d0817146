"""The commands of the service: `overtone serve`, and `overtone token` for its clients."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command
from overtone.gpu_server.limits.role import Role

app = typer.Typer()


@app.command(
    epilog=command.examples(
        "overtone serve",
        "overtone serve mine.safetensors --device cuda",
        "overtone serve --host 0.0.0.0 --token SECRET",
        "overtone serve --models DIR --canary photographs:2=0.1",
        "overtone serve --ray auto --host 0.0.0.0 --engines 2 --max-engines 8",
    )
)
def serve(
    checkpoint: Annotated[
        str | None, typer.Argument(help="The model, in place of --model.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A .safetensors file of a classifier or detector, or the name of a bundled one."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="A folder of NAME.safetensors and NAME/VERSION.safetensors: serve all of them."),
    ] = None,
    default_model: Annotated[
        str | None, typer.Option(help="The one for devices that name none; else the first by name.")
    ] = None,
    canary: Annotated[
        list[str] | None,
        typer.Option(help="NAME:VERSION=SHARE: gets a share of what names no version; may be repeated."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(help="NAME:VERSION=SHARE: judges a share of images too, for /metrics; may be repeated."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 means all.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="0 means any free port.")] = None,
    http_port: Annotated[int | None, typer.Option(help="0 means any free port.")] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option("--token", help="Let in only clients that send this token; may be repeated."),
    ] = None,
    tokens_file: Annotated[
        Path | None,
        typer.Option(help="TOML file of more tokens, hashed, with quotas; `overtone token` makes its lines."),
    ] = None,
    admin_port: Annotated[
        int | None, typer.Option(help="Serve /metrics and /docs on this port alone; 0 means any free port.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or several: cuda:0,cuda:1.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the ports; 0 chooses by the machine.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Serve on this Ray cluster: auto, or HOST:6379; see docs/deploy.md.")
    ] = None,
    engines: Annotated[
        int | None, typer.Option(help="With --ray: processes that run batches, a GPU each.")
    ] = None,
    max_engines: Annotated[int | None, typer.Option(help="With --ray: so many under load.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the network on a CPU.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    access_log: Annotated[
        bool | None, typer.Option("--access-log", help="Log every image, call and session.")
    ] = None,
) -> None:
    """Serve a checkpoint over gRPC and REST.

    Every setting of gpu_server/settings.py can also be given as an environment variable, OVERTONE_ and its name.
    """
    given = locals()
    if named := given.pop("checkpoint"):
        if model:
            raise typer.BadParameter("name the model once, as CHECKPOINT or with --model")
        given["model"] = named

    def run() -> None:
        from overtone.gpu_server.serve import run as serve_until_stopped
        from overtone.gpu_server.settings import read

        serve_until_stopped(read(**given))

    command.call("serve", "server", run)


@app.command(
    epilog=command.examples(
        "overtone token camera-7 >> tokens.toml",
        "overtone token camera-7 --images-per-second 20 --bytes-per-second 100000 --sessions 4",
        "overtone token prometheus --role monitor >> tokens.toml",
    )
)
def token(
    name: Annotated[str, typer.Argument(help="Of the client; logs and refusals name it.")],
    role: Annotated[
        Role,
        typer.Option(
            help="device: the API. At the administrators' port, monitor: what can be read; admin: also loading and "
            "unloading models."
        ),
    ] = Role.DEVICE,
    images_per_second: Annotated[float | None, typer.Option(help="Images that it may send.")] = None,
    bytes_per_second: Annotated[float | None, typer.Option(help="Payload bytes that it may send.")] = None,
    sessions: Annotated[int | None, typer.Option(help="Sessions that it may have open.")] = None,
) -> None:
    """Make a token for a client.

    Standard output has the lines for the file of `overtone serve --tokens-file`, with a hash in place of the token.
    The token itself goes to standard error, once: it is stored nowhere.
    """

    def run() -> None:
        from overtone.gpu_server.limits.quota import Quota
        from overtone.gpu_server.limits.tokens import create

        made, lines = create(name, Quota(images_per_second, bytes_per_second, sessions), role)
        typer.echo(made, err=True)
        typer.echo(f"\n{lines}", nl=False)

    command.call("token", "server", run)
