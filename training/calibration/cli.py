"""The command `overtone calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command
from overtone.training.options import Checkpoint, Qualities, Split

Report = Annotated[str | None, typer.Option(help="Also measure on this split, such as val.")]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="The most top-1 that early answers may lose, such as 0.01; of a detector, of the full answer's "
        "things that may be missed."
    ),
]
Delta = Annotated[
    float | None, typer.Option(help="With --alpha: probability of losing more (default: bound the mean).")
]
Share = Annotated[
    float | None, typer.Option(help="Request more than the first layer for at most this share of the images.")
]
MeanBytes = Annotated[float | None, typer.Option(help="The most payload bytes per image, on average.")]
Agreement = Annotated[
    bool, typer.Option("--agreement", help="With the answers of the card's teacher instead of labels.")
]

app = typer.Typer(
    cls=command.WithDefault,
    help="Certify a checkpoint: the standard operating points, or one with a given guarantee.",
    epilog=command.examples(
        "overtone calibrate my.safetensors --data DIR",
        "overtone calibrate imagenette --data DIR --layers 3 --out three.safetensors",
        "overtone calibrate my.safetensors --data DIR --alpha 0.02 --delta 0.05 --name sure --default",
        "overtone calibrate simulate imagenette --data DIR --split val",
    ),
)


@app.command("checkpoint", cls=command.Default, hidden=True)
@command.reporting("calibrate", "train")
def calibrate(
    checkpoint: Checkpoint,
    data: command.Data,
    alpha: Alpha = None,
    delta: Delta = None,
    share: Share = None,
    mean_bytes: MeanBytes = None,
    quality: Qualities = None,
    layers: Annotated[
        int | None,
        typer.Option(min=2, max=3, help="Give the checkpoint a ladder of so many layers, and a new profile."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the operating point.")] = "custom",
    default: Annotated[bool, typer.Option("--default", help="Make the point the card's default.")] = False,
    mix: Annotated[
        bool | None, typer.Option("--with-mix/--without-mix", help="Mix low's logits into the high answer.")
    ] = None,
    split: Split = "calibration",
    report: Report = None,
    agreement: Agreement = False,
    out: Annotated[Path | None, typer.Option(help="File to write (default: the checkpoint itself).")] = None,
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Certify a checkpoint: the standard operating points, or one with a given guarantee.

    A point answers as many images early as its guarantee allows, judged on images held out of training.
    """
    from overtone.models import find
    from overtone.training.calibration.calibrate import calibrate
    from overtone.training.calibration.risk_targets import target_from
    from overtone.training.detection.detector_file import is_detector

    target = target_from(name, alpha, delta, share, mean_bytes)
    if is_detector(find(checkpoint)):
        from overtone.training.detection.calibrate_detector import calibrate_detector

        if mix is not None or agreement:
            raise ValueError("a detector has no mix, and is always certified against its full answer")
        calibrate_detector(
            checkpoint,
            data,
            target,
            qualities=quality or (),
            layers=layers,
            default=default,
            split=split,
            reported=report,
            out=out,
            workers=workers,
            device=device,
            as_json=json,
        )
        return

    calibrate(
        checkpoint,
        data,
        target,
        qualities=quality or (),
        layers=layers,
        default=default,
        mix=mix,
        split=split,
        reported=report,
        agreement=agreement,
        out=out,
        workers=workers,
        device=device,
        as_json=json,
    )


@app.command(
    epilog=command.examples("overtone calibrate simulate imagenette --data DIR --split val --count 947")
)
@command.reporting("calibrate simulate", "train")
def simulate(
    checkpoint: Checkpoint,
    data: command.Data,
    alpha: Alpha = None,
    delta: Delta = None,
    share: Share = None,
    mean_bytes: MeanBytes = None,
    split: Split = "calibration",
    splits: Annotated[int, typer.Option(min=1, help="Number of random splits of the images.")] = 1000,
    count: Annotated[int | None, typer.Option(help="Images to calibrate on (default: half).")] = None,
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Test whether guarantees hold, over random splits of the images; nothing is stored."""
    from overtone.training.calibration.calibrate import Predictor, simulate_guarantees
    from overtone.training.calibration.risk_targets import target_from

    target = target_from("custom", alpha, delta, share, mean_bytes)
    predictor = Predictor.load(checkpoint, data, [split], workers, device)
    simulate_guarantees(predictor, target, split, splits, count, json)


@app.command(epilog=command.examples("overtone calibrate mix imagenette --data DIR --report val"))
@command.reporting("calibrate mix", "train")
def mix(
    checkpoint: Checkpoint,
    data: command.Data,
    split: Split = "calibration",
    report: Report = None,
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Compare the high answer alone with mixes of low's and high's logits; nothing is stored."""
    from overtone.training.calibration.calibrate import Predictor, compare_mixes

    predictor = Predictor.load(checkpoint, data, [split, *([report] if report else [])], workers, device)
    compare_mixes(predictor, split, report, json)
