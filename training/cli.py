"""Commands of the trainer: `overtone train`, `evaluate` and `calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command

app = typer.Typer()

train_app = typer.Typer(
    cls=command.WithDefault, help="Train by a recipe; also `gate`, `select`, `average`, `codec`."
)
app.add_typer(train_app, name="train")


@train_app.command(
    "recipe",
    cls=command.Default,
    epilog="Also, each with its own --help: `overtone train gate` (which channels does a network ask for?), "
    "`overtone train select` (from its heat map to a set of channels), `overtone train average` (one "
    "checkpoint of several) and `overtone train codec` (steps and dead zones for a checkpoint).",
)
def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with Overtone.")
    ],
    data: command.Data,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/RECIPE).")] = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels instead of the recipe's.")] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Of each step, as 28,30; one number is for every step.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint whose weights to begin with.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on after the last finished epoch.")] = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Train by a recipe; a cascade becomes a checkpoint."""

    def run() -> None:
        from overtone.training import commands

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

    command.call("train", "train", run)


@train_app.command()
def gate(
    data: command.Data,
    cost: Annotated[list[float], typer.Option(help="What all channels open add to the loss; repeat it.")],
    recipe: Annotated[str, typer.Option(help="A recipe whose network is of kind gate.")] = "gate-sweep",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/gate"),
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Train a channel gate once per cost, and draw which channels it opens; goes on where it stopped."""

    def run() -> None:
        from overtone.training.gate import sweep

        sweep(recipe, data, cost, out, epochs=epochs, seed=seed, workers=workers, device=device)

    command.call("train gate", "train", run)


@train_app.command()
def select(
    heatmap: Annotated[Path, typer.Argument(help="A heatmap.json of `overtone train gate`.")],
    count: Annotated[int | None, typer.Option(help="How many channels.")] = None,
    share: Annotated[float | None, typer.Option(help="All that this share of pictures open.")] = None,
    out: Annotated[Path | None, typer.Option(help="TOML file (default: standard output).")] = None,
) -> None:
    """Turn a heat map into a set of channels that a recipe takes as its `input`."""

    def run() -> None:
        from overtone.training.select import select_file

        select_file(heatmap, count, share, out)

    command.call("train select", "train", run)


@train_app.command()
def average(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Two or more, .safetensors files or bundled names.")
    ],
    data: command.Data,
    out: Annotated[Path, typer.Option(help="File to write.")],
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Make one checkpoint of several that began with each other's weights: their mean, certified anew."""

    def run() -> None:
        from overtone.training.average import average

        average(checkpoints, data, out, workers=workers, device=device)

    command.call("train average", "train", run)


@train_app.command()
def codec(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: command.Data,
    out: Annotated[Path, typer.Option(help="File to write.")],
    budgets: Annotated[
        str, typer.Option("--bytes", help="Mean payload bytes of each quality.")
    ] = "300,400,550,750,1000,1500,2400",
    share: Annotated[float, typer.Option(min=0, max=1, help="Of pictures that ask for high.")] = 0.25,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Choose steps and dead zones that cost a checkpoint least for their bytes; fit tables to them."""

    def run() -> None:
        from overtone.training import commands, steps

        wanted = commands.numbers(budgets, "--bytes", "a number for each quality, as in 500,1000") or ()
        steps.train_codec(checkpoint, data, out, wanted, share=share, workers=workers, device=device)

    command.call("train codec", "train", run)


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: command.Data,
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
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Accuracy low only, always both and cascade, with counted payload bytes and cost."""

    def run() -> None:
        from overtone.training.evaluate import Show, evaluate

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

    command.call("evaluate", "train", run)


@app.command()
def calibrate(
    checkpoint: Annotated[str, typer.Argument(help="A .safetensors file, or the name of a bundled one.")],
    data: command.Data,
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
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Certify a checkpoint: the standard operating points, or one that keeps a promise.

    A point answers early as often as its promise allows, judged on pictures held out of training. Nothing is
    stored by --simulate, --mix and --deferral-plot.
    """

    def run() -> None:
        from overtone.training import recalibrate as room
        from overtone.training.certificate import wished

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

    command.call("calibrate", "train", run)
