"""Commands of the benchmarks: `overtone demo`, `describe`, `link` and `bench`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from overtone import command

app = typer.Typer()

bench_app = typer.Typer(help="Measure: load over links, and a report of it.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@app.command()
def describe(
    picture: Annotated[Path, typer.Argument(help="An image file.")],
    model: Annotated[
        str, typer.Option(help="A .safetensors file, or the name of a bundled one.")
    ] = "imagenette",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    every_quality: Annotated[
        bool, typer.Option("--every-quality", help="All qualities of the profile, side by side.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="PNG to write (default: PICTURE.describe.png).")] = None,
    json: command.Json = False,
) -> None:
    """Draw a picture as the server sees it, and what every channel of it costs."""

    def run() -> None:
        from overtone.benchmarks.codec import describe as room

        room.run(picture, model, quality=quality, every_quality=every_quality, out=out, as_json=json)

    command.call("describe", "bench,train", run)


@app.command()
def link(
    to: Annotated[str, typer.Option(help="HOST:PORT to relay to.")] = "",
    profile: Annotated[str, typer.Option(help="One of --list; the figures below override it.")] = "unlimited",
    rate: Annotated[str | None, typer.Option(help="Of both directions, e.g. 1mbit.")] = None,
    up: Annotated[str | None, typer.Option(help="Towards the server.")] = None,
    down: Annotated[str | None, typer.Option(help="From the server.")] = None,
    rtt: Annotated[str | None, typer.Option(help="Round trip, e.g. 50ms.")] = None,
    jitter: Annotated[str | None, typer.Option(help="How far the round trip varies, e.g. 20ms.")] = None,
    loss: Annotated[str | None, typer.Option(help="Segments lost and sent again, e.g. 1%.")] = None,
    outage: Annotated[
        str | None, typer.Option(help="Away 2 s after every 30 s: 30s+2s; 30s+2s:reset breaks connections.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="CSV of recorded time, rate (or up, down), rtt.")] = None,
    per_connection: Annotated[
        bool, typer.Option("--per-connection", help="A modem for each connection, not one for all.")
    ] = False,
    connections: Annotated[int, typer.Option(min=0, help="How many at once; checks the limit of files.")] = 0,
    seed: Annotated[int | None, typer.Option(help="The same jitter and loss every time.")] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on.")] = "127.0.0.1:0",
    show_list: Annotated[bool, typer.Option("--list", help="Only show the profiles.")] = False,
) -> None:
    """Relay TCP through a simulated link, and count the bytes it carries: payload, and on the air."""

    def run() -> int:
        from overtone.benchmarks.link import relay as room

        if show_list:
            return room.show_profiles()
        if not to:
            raise ValueError("where to? --to HOST:PORT")
        return room.run(
            to,
            profile=profile,
            rate=rate,
            up=up,
            down=down,
            rtt=rtt,
            jitter=jitter,
            loss=loss,
            outage=outage,
            trace=trace,
            per_connection=per_connection,
            connections=connections,
            seed=seed,
            listen=listen,
        )

    command.finish(command.call("link", "bench", run))


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
    policy: Annotated[str, typer.Option(help="auto, on_demand, ahead or at_once.")] = "on_demand",
    transport: Annotated[str, typer.Option(help="grpc or rest.")] = "grpc",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    json: command.Json = False,
) -> None:
    """Server, thin link and device on this machine, on real photographs."""

    def run() -> int:
        from overtone.benchmarks.demo import command as room
        from overtone.edge_client.policy import Policy

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

    command.finish(command.call("demo", "server,bench", run))


@bench_app.command()
def sweep(
    plan: Annotated[
        str, typer.Argument(help="A TOML file, or the name of a plan that comes with Overtone: short, full.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="OVERTONE_DATA", help="Pictures; a sub-folder per class if answers are judged."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of results and report; what is in it is not measured again.")
    ] = Path("runs/sweep"),
    host: Annotated[str | None, typer.Option(help="A server that runs already (default: start one).")] = None,
    grpc_port: Annotated[int, typer.Option(help="With --host.")] = 50051,
    http_port: Annotated[int, typer.Option(help="With --host.")] = 8080,
    token: Annotated[str | None, typer.Option(envvar="OVERTONE_TOKEN", help="With --host.")] = None,
) -> None:
    """Measure latency, bytes and accuracy over links, and write a report; goes on where it stopped."""

    def run() -> int:
        from overtone.benchmarks.sweep import command as room

        where = room.Where(host, grpc_port, http_port, token) if host else None
        return room.run(plan, data, out, where)

    command.finish(command.call("bench sweep", "server,bench", run))


@bench_app.command("bytes")
def bench_bytes(
    data: Annotated[
        Path | None,
        typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/, a sub-folder per class."),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="A .safetensors file, or the name of a bundled one.")
    ] = "imagenette",
    rival: Annotated[
        str, typer.Option(help="A network of `overtone train rival`, or the name of a bundled one.")
    ] = "imagenette",
    pictures: Annotated[int | None, typer.Option(min=1, help="Of each part at most so many.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of results; it holds what was measured.")] = Path(
        "runs/bytes"
    ),
    logged: Annotated[
        bool, typer.Option("--logged", help="Only make docs/bytes.md and its figures again, from the log.")
    ] = False,
    json: command.Json = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that encode and answer pictures; one a core if not said."),
    ] = None,
    device: command.Device = "auto",
) -> None:
    """Top-1 against bytes: ours, and JPEG, WebP and AVIF in front of an equally large network on RGB."""

    def run() -> None:
        from overtone.benchmarks.curve import command as room
        from overtone.benchmarks.curve import report as bytes_report

        if logged:
            for path in bytes_report.render_logged():
                print(f"wrote {path}")
        elif data is None:
            raise ValueError("give --data DIR, a folder with train/ and val/, or --logged")
        else:
            room.run(data, out, room.Options(checkpoint, rival, pictures, workers, device), json)

    command.call("bench bytes", "train,server,bench", run)
