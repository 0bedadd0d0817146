"""Commands of the trainer: `overtone train` and `adapt`.

`evaluate` is in `training.evaluation.cli`, `calibrate` in `training.calibration.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command
from overtone.training.calibration.cli import app as calibrate_app
from overtone.training.evaluation import cli as evaluation
from overtone.training.options import CHECKPOINT, Checkpoint

File = Annotated[Path, typer.Option("--out", help="File to write.")]
Minutes = Annotated[
    float | None, typer.Option(min=0.1, help="The most time to train for (default: 50 on a CPU).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue after the last finished epoch.")]

app = typer.Typer()
train_app = typer.Typer(
    cls=command.WithDefault,
    help="Train on a folder of images, or by a recipe; also `average` and `codec`.",
    epilog=command.examples(
        "overtone train DIR",
        "overtone train flowers102 --device cuda --workers 8",
        "overtone train DIR --minutes 20 --resume",
        "overtone train imagenette --data DIR",
        "overtone train my.toml --data flowers102 --epochs 30 --resume",
        "overtone train codec imagenette --data DIR --out tuned.safetensors",
    ),
)
app.add_typer(train_app, name="train")


@train_app.command("recipe", cls=command.Default, hidden=True)
@command.reporting("train", "train")
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="DATA | RECIPE",
            help="A folder with a sub-folder of images per class, or a data set by name; with --data, a recipe "
            "file or the name of one that comes with Overtone.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="OVERTONE_DATA", help="Data for a recipe: a folder, or a data set by name."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/NAME).")] = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels instead of the recipe's.")] = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            help="Of each step, as 28,30; a single number applies to every step, and 0 leaves a network as it starts."
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint whose weights to begin with.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    minutes: Minutes = None,
    resume: Resume = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Train on a folder of images, or by a recipe; a cascade becomes a checkpoint.

    With data alone, pretrained networks learn its classes (the recipe `transfer`), in at most --minutes.
    """
    from overtone.training.detection.recipe import is_detection_recipe, load_detection_recipe
    from overtone.training.recipe import RecipeError, is_recipe, load_recipe
    from overtone.training.train import numbers, train
    from overtone.training.transfer import transfer

    counts = numbers(epochs, "--epochs", "a number for each step, as in 28,30", least=0)
    if data is None or (Path(recipe).is_dir() and not is_recipe(recipe)):
        transfer(
            recipe,
            out,
            size=size,
            epochs=counts,
            start=start,
            seed=seed,
            minutes=minutes,
            resume=resume,
            workers=workers,
            device=device,
        )
        return
    if minutes is not None:
        raise RecipeError("--minutes chooses the epochs of `overtone train DATA`; a recipe has its own")
    if is_detection_recipe(recipe):
        from overtone.training.detection.train_detector import train_detector

        detection = load_detection_recipe(recipe).changed(size=size, epochs=counts, start=start, seed=seed)
        train_detector(detection, data, out, resume=resume, workers=workers, device=device)
        return
    chosen = load_recipe(recipe).changed(size=size, epochs=counts, start=start, seed=seed)
    train(chosen, data, out, resume=resume, workers=workers, device=device)


@app.command(
    epilog=command.examples(
        "overtone adapt tf_efficientnet_lite2 --low tf_efficientnet_lite0 --images DIR --device cuda",
        "overtone adapt resnet50 --images DIR --low-pixels 4",
        "overtone adapt mine.pth --body mobilenet_v3_large --labels labels.txt --images DIR",
    )
)
@command.reporting("adapt", "train")
def adapt(
    body: Annotated[
        str, typer.Argument(metavar="BODY", help="A classifier of timm or torchvision, or a file of weights.")
    ],
    images: Annotated[
        Path, typer.Option("--images", "--pictures", help="Folder of images in any nesting, without labels.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: runs/adapt-BODY).")] = None,
    network: Annotated[
        str | None, typer.Option("--body", help="The network's name, if BODY is a file of weights.")
    ] = None,
    low: Annotated[str | None, typer.Option(help="Another classifier for the low band.")] = None,
    low_pixels: Annotated[
        int | None, typer.Option(min=1, max=8, help="Pixels a block that the low network sees (default: 4).")
    ] = None,
    high_pixels: Annotated[
        int, typer.Option(min=1, max=8, help="Pixels a block that the high network sees.")
    ] = 8,
    labels: Annotated[
        Path | None, typer.Option(help="A label a line, if the classes are not ImageNet's.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images in pixels (default: 224).")] = None,
    epochs: Annotated[
        str | None,
        typer.Option(help="Of each step, as 28,30, instead of chosen ones; 0 leaves a network as it starts."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Checkpoint of the same bodies to begin with (default: published weights)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    minutes: Minutes = None,
    resume: Resume = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Make a pretrained classifier a cascade for thin links, on images without labels.

    The classifier's answers to whole images are the teacher. Certificates bound how often answers given early
    differ from the full answer.
    """
    from overtone.training.adapt import adapt
    from overtone.training.train import numbers

    adapt(
        body,
        images,
        out,
        network=network,
        low=low,
        low_pixels=low_pixels,
        high_pixels=high_pixels,
        labels=labels,
        size=size,
        epochs=numbers(epochs, "--epochs", "a number for each step, as in 28,30", least=0),
        start=start,
        seed=seed,
        minutes=minutes,
        resume=resume,
        workers=workers,
        device=device,
    )


@train_app.command(
    epilog=command.examples(
        "overtone train average a.safetensors b.safetensors --data DIR --out mean.safetensors"
    )
)
@command.reporting("train average", "train")
def average(
    checkpoints: Annotated[list[str], CHECKPOINT],
    data: command.Data,
    out: File,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Average the weights of two or more checkpoints that started from each other's, and certify the result."""
    from overtone.training.average import average

    average(checkpoints, data, out, workers=workers, device=device)


@train_app.command(
    epilog=command.examples(
        "overtone train join low.safetensors high.safetensors --data DIR --out both.safetensors"
    )
)
@command.reporting("train join", "train")
def join(
    checkpoints: Annotated[list[str], CHECKPOINT], data: command.Data, out: File, workers: command.Workers = 1
) -> None:
    """Make one detector of networks that different runs have trained, such as --epochs 24,0 and --epochs 0,24.

    Each network is taken from the file in which it was trained for the most epochs; the saved state of a run,
    last.safetensors, will also do. Operating points are chosen on the held-out pictures.
    """
    from overtone.training.detection.join import join

    join(checkpoints, data, out, workers=workers)


@train_app.command(
    epilog=command.examples(
        "overtone train codec imagenette --data DIR --out tuned.safetensors --bytes 300,600,1200"
    )
)
@command.reporting("train codec", "train")
def codec(
    checkpoint: Checkpoint,
    data: command.Data,
    out: File,
    budgets: Annotated[
        str, typer.Option("--bytes", help="Mean payload bytes of each quality.")
    ] = "300,400,550,750,1000,1500,2400",
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the images for which the last layer is requested.")
    ] = 0.25,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Find the steps and dead zones that harm a checkpoint's answers least for their bytes."""
    from overtone.training.codec.codec_training import train_codec
    from overtone.training.train import numbers

    wanted = numbers(budgets, "--bytes", "a number for each quality, as in 500,1000") or ()
    train_codec(checkpoint, data, out, wanted, share=share, workers=workers, device=device)


app.command(epilog=evaluation.EXAMPLES)(evaluation.evaluate)
app.add_typer(calibrate_app, name="calibrate")
