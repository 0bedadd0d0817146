"""The command line: one subcommand a room, each room imported only when its command is called."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

app = typer.Typer(
    help="Image inference for devices on thin links.", no_args_is_help=True, pretty_exceptions_enable=False
)


class _Default(TyperCommand):
    """A command in whose usage line its group's name stands for its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return super().make_context(parent.info_name, args, parent=parent.parent, **extra)


class _WithDefault(TyperGroup):
    """A group whose first command is meant where none is named: `overtone train RECIPE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [next(iter(self.commands)), *args])


train_app = typer.Typer(
    cls=_WithDefault, help="Train by a recipe; also `gate`, `select`, `average`, `codec`."
)
app.add_typer(train_app, name="train")

bench_app = typer.Typer(help="Measure: load over links, and a report of it.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
Data = Annotated[
    Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/, a sub-folder per class.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode pictures.")]


def _call(room: str, extra: str, function: Callable[[], Any]) -> Any:
    """Run; an expected failure is one line and exit code 1, a missing extra says what to install."""
    try:
        return function()
    except ModuleNotFoundError as error:
        _fail(f"{room} needs {error.name}: pip install 'overtone[{extra}]'")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        _fail(str(error))
    except KeyboardInterrupt as error:
        _fail(str(error) or "interrupted", 130)


def _exit(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


def _fail(message: str, code: int = 1) -> None:
    Console(stderr=True).print(
        f"overtone: {message}", style="red", highlight=False, soft_wrap=True, markup=False
    )
    raise typer.Exit(code)


@train_app.command(
    "recipe",
    cls=_Default,
    epilog="Also, each with its own --help: `overtone train gate` (which channels does a network ask for?), "
    "`overtone train select` (from its heat map to a set of channels), `overtone train average` (one "
    "checkpoint of several) and `overtone train codec` (steps and dead zones for a checkpoint).",
)
def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Overtone.")
    ],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/RECIPE).")] = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels instead of the recipe's.")] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Of each step, as 28,30; one number is for every step.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint whose weights to begin with.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on after the last finished epoch.")] = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Train by a recipe; a cascade becomes a checkpoint."""

    def run() -> None:
        from training import commands

        commands.train(
            recipe,
            data,
            out,
            size=size,
            epochs=commands.numbers(epochs, "--epochs", "a number for each step, as in 28,30"),
            start=start,
            seed=seed,
            resume=resume,
            workers=workers,
            device=device,
        )

    _call("train", "train", run)


@train_app.command()
def gate(
    data: Data,
    cost: Annotated[list[float], typer.Option(help="What all channels open add to the loss; repeat it.")],
    recipe: Annotated[str, typer.Option(help="A recipe whose network is of kind gate.")] = "gate-sweep",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/gate"),
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Train a channel gate once per cost, and draw which channels it opens; goes on where it stopped."""

    def run() -> None:
        from training.gate import sweep

        sweep(recipe, data, cost, out, epochs=epochs, seed=seed, workers=workers, device=device)

    _call("train gate", "train", run)


@train_app.command()
def select(
    heatmap: Annotated[Path, typer.Argument(help="A heatmap.json of `overtone train gate`.")],
    count: Annotated[int | None, typer.Option(help="How many channels.")] = None,
    share: Annotated[float | None, typer.Option(help="All that this share of pictures open.")] = None,
    out: Annotated[Path | None, typer.Option(help="TOML file (default: standard output).")] = None,
) -> None:
    """Turn a heat map into a set of channels that a recipe takes as its `input`."""

    def run() -> None:
        from training.select import select_file

        select_file(heatmap, count, share, out)

    _call("train select", "train", run)


@train_app.command()
def average(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Two or more, .safetensors files or bundled names.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="File to write.")],
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Make one checkpoint of several that began with each other's weights: their mean, certified anew."""

    def run() -> None:
        from training.average import average

        average(checkpoints, data, out, workers=workers, device=device)

    _call("train average", "train", run)


@train_app.command()
def codec(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="File to write.")],
    budgets: Annotated[
        str, typer.Option("--bytes", help="Mean payload bytes of each quality.")
    ] = "300,400,550,750,1000,1500,2400",
    share: Annotated[float, typer.Option(min=0, max=1, help="Of pictures that ask for high.")] = 0.25,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Choose steps and dead zones that cost a checkpoint least for their bytes; fit tables to them."""

    def run() -> None:
        from training import commands, steps

        wanted = commands.numbers(budgets, "--bytes", "a number for each quality, as in 500,1000") or ()
        steps.train_codec(checkpoint, data, out, wanted, share=share, workers=workers, device=device)

    _call("train codec", "train", run)


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: Data,
    quality: Annotated[list[int] | None, typer.Option(help="Quality; may be repeated.")] = None,
    every_quality: Annotated[
        bool, typer.Option("--every-quality", help="All qualities of the profile.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Threshold instead of an operating point's.")
    ] = None,
    operating_point: Annotated[str | None, typer.Option(help="Operating point of the card.")] = None,
    part: Annotated[str, typer.Option(help="val, train or calibration.")] = "val",
    thresholds: Annotated[bool, typer.Option("--thresholds", help="Also what each threshold gives.")] = False,
    reliability: Annotated[
        bool, typer.Option("--reliability", help="Also confidence against accuracy.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="All tables.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Folder to draw figures into, as PNGs.")] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="PNG of the most and the least confident low answers.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=120, help="Pictures in each half of the gallery.")] = 12,
    json: Json = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Accuracy low only, always both and cascade, with counted payload bytes and cost."""

    def run() -> None:
        from training.evaluate import Show, evaluate

        evaluate(
            checkpoint,
            data,
            qualities=quality or (),
            every_quality=every_quality,
            threshold=threshold,
            operating_point=operating_point,
            split_name=part,
            as_json=json,
            show=Show(thresholds or full, reliability or full, plots, gallery, count),
            workers=workers,
            device=device,
        )

    _call("evaluate", "train", run)


@app.command()
def calibrate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: Data,
    alpha: Annotated[float | None, typer.Option(help="The most top-1 to lose by answering early.")] = None,
    delta: Annotated[
        float | None, typer.Option(help="With --alpha: how often more may be lost (default: on average).")
    ] = None,
    share: Annotated[float | None, typer.Option(help="Ask for high in at most this share.")] = None,
    mean_bytes: Annotated[float | None, typer.Option(help="Payload bytes a picture may take.")] = None,
    rate_aware: Annotated[
        bool, typer.Option("--rate-aware", help="The point weighs the gain expected against high's bytes.")
    ] = False,
    quality: Annotated[list[int] | None, typer.Option(help="Certify for it; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="Of the operating point.")] = "custom",
    default: Annotated[bool, typer.Option("--default", help="Make the point the card's default.")] = False,
    keep_mix: Annotated[
        bool | None, typer.Option("--with-mix/--without-mix", help="Mix low's logits into the high answer.")
    ] = None,
    part: Annotated[str, typer.Option(help="calibration, val or train.")] = "calibration",
    report: Annotated[str | None, typer.Option(help="Also measure on this part, such as val.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (default: the checkpoint itself).")] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Only try whether promises are kept, over random splits.")
    ] = False,
    splits: Annotated[int, typer.Option(min=1, help="With --simulate: how many.")] = 1000,
    count: Annotated[
        int | None, typer.Option(help="With --simulate: pictures to calibrate on (default: half).")
    ] = None,
    mix: Annotated[bool, typer.Option("--mix", help="Only try what mixing logits gains.")] = False,
    deferral_plot: Annotated[
        Path | None, typer.Option(help="Only draw the rate-aware rule against confidence, as a PNG.")
    ] = None,
    json: Json = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Certify a checkpoint: the standard operating points, or one that keeps a promise.

    A point answers early as often as its promise allows, judged on pictures held out of training. Nothing is
    stored by --simulate, --mix and --deferral-plot.
    """

    def run() -> None:
        from training import recalibrate as room
        from training.certificate import wished

        wish = wished(name, alpha, delta, share, mean_bytes)
        task = room.Task(wish, rate_aware, quality or (), default, keep_mix, part, report, out)
        stores = not (simulate or mix or deferral_plot)
        if stores:
            room.destination(checkpoint, out)
        if deferral_plot:
            room.check_plot(deferral_plot)
        source = room.Source.load(checkpoint, data, workers, device)
        for each in filter(None, (part, report)):
            source.pictures(each)
        if simulate:
            room.try_promises(source, wish, part, splits, count, json)
        elif mix:
            room.try_mix(source, report, part, json)
        elif deferral_plot:
            room.try_deferral(source, deferral_plot, report, part, json)
        else:
            room.calibrate(source, checkpoint, task, json)

    _call("calibrate", "train", run)


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
    json: Json = False,
) -> None:
    """Draw a picture as the server sees it, and what every channel of it costs."""

    def run() -> None:
        from benchmarks.codec import describe as room

        room.run(picture, model, quality=quality, every_quality=every_quality, out=out, as_json=json)

    _call("describe", "bench,train", run)


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
    policy: Annotated[str, typer.Option(help="auto, on_demand, ahead or at_once.")] = "auto",
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
        from benchmarks.link import relay as room

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
    policy: Annotated[str, typer.Option(help="auto, on_demand, ahead or at_once.")] = "on_demand",
    transport: Annotated[str, typer.Option(help="grpc or rest.")] = "grpc",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    json: Json = False,
) -> None:
    """Server, thin link and device on this machine, on real photographs."""

    def run() -> int:
        from benchmarks.demo import command as room
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
        from benchmarks.sweep import command as room

        where = room.Where(host, grpc_port, http_port, token) if host else None
        return room.run(plan, data, out, where)

    _exit(_call("bench sweep", "server,bench", run))


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
    json: Json = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that encode and answer pictures; one a core if not said."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Top-1 against bytes: ours, and JPEG, WebP and AVIF in front of an equally large network on RGB."""

    def run() -> None:
        from benchmarks.curve import command as room
        from benchmarks.curve import report as bytes_report

        if logged:
            for path in bytes_report.render_logged():
                print(f"wrote {path}")
        elif data is None:
            raise ValueError("give --data DIR, a folder with train/ and val/, or --logged")
        else:
            room.run(data, out, room.Options(checkpoint, rival, pictures, workers, device), json)

    _call("bench bytes", "train,server,bench", run)


def main() -> None:
    """Entry point for `python -m overtone`."""
    app(prog_name=os.path.basename(sys.argv[0]))


if __name__ == "__main__":
    main()
