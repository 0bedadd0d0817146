"""The command line: one subcommand a room, each room imported only when its command is called."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

app = typer.Typer(
    help="Image inference for devices on thin links.", no_args_is_help=True, pretty_exceptions_enable=False
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Data = Annotated[
    Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/, a sub-folder per class.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(help="Processes that decode pictures.")]


def _call(room: str, extra: str, function: Callable[[], Any]) -> Any:
    """Run; an expected failure is one line and exit code 1, a missing extra says what to install."""
    try:
        return function()
    except ModuleNotFoundError as error:
        _fail(f"{room} needs {error.name}: pip install 'overtone[{extra}]'")
    except (ValueError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _exit(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


def _fail(message: str, code: int = 1) -> None:
    Console(stderr=True).print(
        f"overtone: {message}", style="red", highlight=False, soft_wrap=True, markup=False
    )
    raise typer.Exit(code)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Overtone.")
    ],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/RECIPE).")] = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels instead of the recipe's.")] = None,
    epochs: Annotated[tuple[int, int] | None, typer.Option(help="Epochs of the two steps.")] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint whose weights to begin with.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on after the last finished epoch.")] = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Train a cascade and write a checkpoint."""

    def run() -> None:
        from training import commands

        commands.train(
            recipe,
            data,
            out,
            size=size,
            epochs=epochs,
            start=start,
            resume=resume,
            workers=workers,
            device=device,
        )

    _call("train", "train", run)


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: Data,
    quality: Annotated[list[int] | None, typer.Option(help="Quality; may be repeated.")] = None,
    every_quality: Annotated[
        bool, typer.Option("--every-quality", help="All qualities of the profile.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Threshold instead of an operating point's.")
    ] = None,
    operating_point: Annotated[str | None, typer.Option(help="Operating point of the card.")] = None,
    part: Annotated[str, typer.Option(help="val, train or calibration.")] = "val",
    json: Json = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Top-1 low only, always both and cascade, with counted payload bytes."""

    def run() -> None:
        from training.evaluate import evaluate

        evaluate(
            checkpoint,
            data,
            qualities=quality or (),
            every_quality=every_quality,
            threshold=threshold,
            operating_point=operating_point,
            split_name=part,
            as_json=json,
            workers=workers,
            device=device,
        )

    _call("evaluate", "train", run)


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
        from gpu_server.serve import run as serve_until_stopped
        from gpu_server.settings import read

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

    _call("serve", "server", run)


@app.command()
def classify(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders of them.")],
    server: Annotated[
        str, typer.Option(help="grpc://HOST:PORT, grpcs://, http:// or https://.")
    ] = "grpc://127.0.0.1:50051",
    policy: Annotated[str, typer.Option(help="on_demand, at_once or auto.")] = "auto",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    token: Annotated[str | None, typer.Option(envvar="OVERTONE_TOKEN", help="The server's.")] = None,
    authority: Annotated[Path | None, typer.Option(help="PEM to trust for grpcs:// and https://.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each picture.")] = 10.0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep profiles in: a few kB saved a start.")
    ] = None,
    json: Json = False,
) -> None:
    """Send pictures to a server and print the answers as they come."""

    def run() -> int:
        from edge_client import commands
        from edge_client.policy import Policy

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

    _exit(_call("classify", "client", run))


@app.command()
def link(
    to: Annotated[str, typer.Option(help="HOST:PORT to relay to.")],
    rate: Annotated[str | None, typer.Option(help="Of both directions, e.g. 1mbit.")] = None,
    up: Annotated[str | None, typer.Option(help="Towards the server.")] = None,
    down: Annotated[str | None, typer.Option(help="From the server.")] = None,
    rtt: Annotated[str, typer.Option(help="Round trip, e.g. 50ms.")] = "0ms",
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on.")] = "127.0.0.1:0",
) -> None:
    """Relay TCP through a simulated link and count the bytes it carries."""

    def run() -> int:
        from benchmarks import link as room

        return room.run(to, rate=rate, up=up, down=down, rtt=rtt, listen=listen)

    _exit(_call("link", "bench", run))


@app.command()
def demo(
    images: Annotated[
        Path | None, typer.Option(help="Pictures; a sub-folder per class where answers are to be judged.")
    ] = None,
    count: Annotated[int, typer.Option(help="At most so many pictures.")] = 50,
    model: Annotated[
        str, typer.Option(help="A .safetensors file, or the name of a bundled one.")
    ] = "imagenette",
    rate: Annotated[str, typer.Option(help="Of the link, both directions.")] = "1mbit",
    rtt: Annotated[str, typer.Option(help="Round trip of the link.")] = "50ms",
    policy: Annotated[str, typer.Option(help="on_demand, at_once or auto.")] = "auto",
    transport: Annotated[str, typer.Option(help="grpc or rest.")] = "grpc",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    json: Json = False,
) -> None:
    """Server, thin link and device on this machine, on real photographs."""

    def run() -> int:
        from benchmarks import demo as room
        from edge_client.policy import Policy

        options = room.Options(
            model=model,
            rate=rate,
            rtt=rtt,
            policy=cast(Policy, policy),
            quality=quality,
            operating_point=operating_point,
            transport=cast(room.Transport, transport),
        )
        return room.run(images, count=count, as_json=json, options=options)

    _exit(_call("demo", "server,bench", run))


def main() -> None:
    """Entry point for `python -m overtone`."""
    app(prog_name=os.path.basename(sys.argv[0]))


if __name__ == "__main__":
    main()
