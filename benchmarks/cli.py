"""Commands of the benchmarks: `overtone demo` and `overtone bench`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from overtone import command

app = typer.Typer()
bench_app = typer.Typer(help="Measure bytes against accuracy, and load over links.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")

Model = Annotated[str, typer.Option(help="A .safetensors file, or the name of a bundled checkpoint.")]
MaybeData = Annotated[
    Path | None,
    typer.Option(
        envvar="OVERTONE_DATA", help="Folder of images: train/ and val/, with a sub-folder per class."
    ),
]


@app.command(
    epilog=command.examples(
        "overtone demo --images DIR --count 20",
        "overtone demo --rate 300kbit --rtt 120ms --policy auto --json",
        "overtone demo --task detect --images DIR",
    )
)
def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images; a sub-folder per class if answers are to be judged."),
    ] = None,
    count: Annotated[int, typer.Option(help="At most so many images.")] = 50,
    task: Annotated[
        str, typer.Option(help="classify, or detect: find objects and draw their boxes.")
    ] = "classify",
    model: Annotated[
        str,
        typer.Option(
            help="A .safetensors file, or the name of a bundled checkpoint (default: photographs, or voc2007)."
        ),
    ] = "",
    rate: Annotated[str, typer.Option(help="Of the link, both directions.")] = "1mbit",
    rtt: Annotated[str, typer.Option(help="Round trip of the link.")] = "50ms",
    policy: Annotated[str, typer.Option(help="auto, on_demand, ahead or at_once.")] = "on_demand",
    transport: Annotated[str, typer.Option(help="grpc or rest.")] = "grpc",
    quality: Annotated[int | None, typer.Option(help="Of the model's profile.")] = None,
    operating_point: Annotated[str, typer.Option(help="Of the model's card.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the pictures that --task detect draws.")] = Path(
        "runs/demo"
    ),
    json: command.Json = False,
) -> None:
    """Run server, thin link and device on this machine, on real images."""

    def action() -> int:
        from overtone.benchmarks.demo.command import Options, Transport, run
        from overtone.edge_client.plan import Policy
        from overtone.edge_client.task import Task

        options = Options(
            task=cast(Task, task),
            model=model,
            out=out,
            rate=rate,
            rtt=rtt,
            policy=cast(Policy, policy),
            quality=quality,
            operating_point=operating_point,
            transport=cast(Transport, transport),
        )
        return run(images, count=count, as_json=json, options=options)

    command.finish(command.call("demo", "server,bench", action))


@bench_app.command(
    epilog=command.examples(
        "overtone bench sweep short --data DIR",
        "overtone bench sweep my.toml --data DIR --out runs/mine --host HOST",
    )
)
def sweep(
    plan: Annotated[
        str, typer.Argument(help="A TOML file, or the name of one: short, full, stream, detect.")
    ],
    data: MaybeData = None,
    out: Annotated[
        Path, typer.Option(help="Folder of results and report; what is in it is not measured again.")
    ] = Path("runs/sweep"),
    host: Annotated[str | None, typer.Option(help="A server that runs already (default: start one).")] = None,
    grpc_port: Annotated[int, typer.Option(help="With --host.")] = 50051,
    http_port: Annotated[int, typer.Option(help="With --host.")] = 8080,
    token: Annotated[str | None, typer.Option(envvar="OVERTONE_TOKEN", help="With --host.")] = None,
) -> None:
    """Measure latency, bytes and accuracy over links, and write a report; continues where it stopped."""

    def action() -> int:
        from overtone.benchmarks.sweep.command import RunningServer, run

        return run(plan, data, out, RunningServer(host, grpc_port, http_port, token) if host else None)

    command.finish(command.call("bench sweep", "server,bench", action))


@bench_app.command(
    epilog=command.examples("overtone bench soak", "overtone bench soak --minutes 120 --devices 40")
)
def soak(
    model: Model = "photographs",
    minutes: Annotated[float, typer.Option(min=0.05, help="For which devices use the server.")] = 10.0,
    devices: Annotated[
        int, typer.Option(min=1, help="Honest, hasty, vanishing ones and senders of rubbish, in turn.")
    ] = 20,
    json: command.Json = False,
) -> None:
    """Load a server started for it with devices of all kinds, and watch whether it grows, loses count, or lingers."""

    def action() -> int:
        from overtone.benchmarks.soak.command import run

        return run(model, minutes, devices, json)

    command.finish(command.call("bench soak", "server,bench", action))


@bench_app.command(
    epilog=command.examples("overtone bench faults", "overtone bench faults pictures resets --seconds 10"),
)
def faults(
    attacks: Annotated[
        list[str] | None,
        typer.Argument(help="pictures, sessions, bodies, messages, resets, idle (default: all)."),
    ] = None,
    model: Model = "photographs",
    seconds: Annotated[float, typer.Option(min=1, help="For which the honest client is measured.")] = 20.0,
    json: command.Json = False,
) -> None:
    """Attack a server started for it, and measure what an honest client notices; needs Linux."""

    def action() -> int:
        from overtone.benchmarks.faults.command import run

        return run(model, attacks or (), seconds, json)

    command.finish(command.call("bench faults", "server,bench", action))


@bench_app.command(
    epilog=command.examples(
        "overtone bench cluster", "overtone bench cluster --engines 1 --engines 8 --nodes 4 --json"
    ),
)
def cluster(
    model: Model = "photographs",
    engines: Annotated[
        list[int] | None, typer.Option(min=1, help="How many; may be repeated (default: 1, 2 and 4).")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Of the cluster, all on this machine.")] = 3,
    batch_ms: Annotated[int, typer.Option(min=1, help="That an engine takes for a batch.")] = 200,
    batch: Annotated[int, typer.Option(min=1, help="Images of the largest batch.")] = 8,
    in_flight: Annotated[int, typer.Option(min=1, help="Images in flight for each engine.")] = 48,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 10.0,
    json: command.Json = False,
) -> None:
    """Serve on a Ray cluster on this machine, with more and more engines, and kill one of its nodes.

    The engines are stubs that wait and compute nothing, so that one machine can have several.
    """

    def action() -> int:
        from overtone.benchmarks.cluster.command import Options, run

        counts = tuple(engines or (1, 2, 4))
        return run(Options(model, counts, nodes, batch_ms, batch, in_flight, seconds), json)

    command.finish(command.call("bench cluster", "server,bench,ray", action))


@bench_app.command(
    epilog=command.examples("overtone bench replicas", "overtone bench replicas --kills 10 --json")
)
def replicas(
    model: Model = "photographs",
    kills: Annotated[int, typer.Option(min=1, help="Of one server, then the other, and so on.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.5, help="Between a kill and a start.")] = 5.0,
    json: command.Json = False,
) -> None:
    """Kill one of two servers behind nginx (kill -9) and start it again, in turn, and count the images lost.

    The network is a stub; nginx and a checkout of the project are needed.
    """

    def action() -> int:
        from overtone.benchmarks.replicas.command import run

        return run(model, kills, seconds, json)

    command.finish(command.call("bench replicas", "server,bench", action))


@bench_app.command(
    "bytes",
    epilog=command.examples(
        "overtone bench bytes --data DIR",
        "overtone bench bytes --data DIR --images 200 --json",
        "overtone bench bytes --task detect --data DIR --checkpoint my.safetensors --baseline twin.safetensors",
    ),
)
def bench_bytes(
    data: MaybeData = None,
    checkpoint: Model = "imagenette",
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", "--rival", help="An RGB network to compare with, or the name of a bundled one."
        ),
    ] = "imagenette",
    images: Annotated[
        int | None, typer.Option("--images", "--pictures", min=1, help="Of each part at most so many.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of results; it also holds what was measured so far.")
    ] = Path("runs/bytes"),
    logged: Annotated[
        bool, typer.Option("--logged", help="Only update docs/bytes.md and its figures from the logs.")
    ] = False,
    task: Annotated[
        str, typer.Option(help="classify, or detect: AP50 of a detector; then --baseline is one on pixels.")
    ] = "classify",
    slow: Annotated[
        bool,
        typer.Option(
            "--slow/--fast",
            help="Try AVIF at its slowest speed too: seconds an image. Of detectors, try all settings, or about half.",
        ),
    ] = True,
    json: command.Json = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that encode images (default: one per core; of detectors, none)."),
    ] = None,
    device: command.Device = "auto",
) -> None:
    """Measure top-1 against bytes: Overtone, and JPEG, WebP and AVIF with an equally large RGB network.

    With --task detect, AP50 against bytes: a detector with regions, and the codecs with a detector on pixels. For a
    thousand pictures that is some 70,000 runs of a network, each of 0.1 to 0.3 seconds on two cores, so hours; with
    --fast --images 400 some 20,000. Results are kept in --out as they are found, and the same command continues from
    there.
    """

    def action() -> None:
        from overtone.benchmarks.curve.command import Options, run
        from overtone.benchmarks.curve.report import render_logs

        if logged:
            from overtone.benchmarks.detect.report import render_logs as render_detectors

            for path in (*render_logs(), *render_detectors()):
                print(f"wrote {path}")
        elif data is None:
            raise ValueError("give --data DIR, a folder with train/ and val/, or --logged")
        elif task == "detect":
            from overtone.benchmarks.detect.command import run as run_detectors
            from overtone.benchmarks.detect.setup import Options as DetectorOptions

            chosen = DetectorOptions(checkpoint, baseline, images, workers or 0, device, fast=not slow)
            run_detectors(data, out, chosen, json)
        elif task != "classify":
            raise ValueError(f"no task {task!r}; there are classify and detect")
        else:
            run(data, out, Options(checkpoint, baseline, images, workers, device, slow), json)

    command.call("bench bytes", "train,server,bench", action)


@bench_app.command(
    epilog=command.examples(
        "overtone bench serve --images DIR",
        "overtone bench serve --network stub --no-peers --rounds 1 --json",
    )
)
def serve(
    images: Annotated[
        Path | None, typer.Option(help="Folder of images (default: those of `overtone demo`).")
    ] = None,
    model: Model = "photographs",
    stage: Annotated[str, typer.Option(help="low: the first layer is sent; high: all layers are.")] = "low",
    network: Annotated[
        list[str] | None, typer.Option(help="real, stub (which answers at once), or both if left out.")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Measure LitServe, Ray Serve and BentoML too.")] = True,
    quality: Annotated[int | None, typer.Option(help="Of the payloads.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Images in flight.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Of the peers; 0 means one a core.")] = 0,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds of load before each measurement.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions, every other one in reversed order.")] = 2,
    device: Annotated[str, typer.Option(help="Of the real network: cpu or cuda.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder for serve.json.")] = Path("runs/serve"),
    docs: Annotated[
        bool,
        typer.Option("--docs", help="Keep the results in docs/runs, and their table in docs/serving.md."),
    ] = False,
    logged: Annotated[
        bool, typer.Option("--logged", help="Measure nothing; make the table of docs/serving.md again.")
    ] = False,
    json: command.Json = False,
) -> None:
    """Measure the server beside the bare networks, and beside the same networks in other model servers."""

    def action() -> None:
        from overtone.benchmarks.serve import report
        from overtone.benchmarks.serve.command import Options, run
        from overtone.benchmarks.serve.workload import NETWORKS, STAGES, checked

        if logged:
            report.write_page(report.logged())
            return
        options = Options(
            model=model,
            device=device,
            stage=checked(stage, STAGES),
            quality=quality,
            networks=tuple(checked(each, NETWORKS) for each in network) if network else NETWORKS,
            peers=peers,
            in_flight=in_flight,
            workers=workers,
            warm_up=warm_up,
            seconds=seconds,
            rounds=rounds,
        )
        found = run(images, out, options, json)
        if docs:
            report.write_page(found)

    command.call("bench serve", "server,bench", action)
