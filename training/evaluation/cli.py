"""The command `overtone evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command
from overtone.training.options import Checkpoint, Qualities, Split

EXAMPLES = command.examples(
    "overtone evaluate imagenette --data DIR --every-quality --full",
    "overtone evaluate photographs --data DIR --agreement",
)


@command.reporting("evaluate", "train")
def evaluate(
    checkpoint: Checkpoint,
    data: command.Data,
    quality: Qualities = None,
    every_quality: Annotated[
        bool, typer.Option("--every-quality", help="All qualities of the profile.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Threshold of every layer, instead of an operating point's."),
    ] = None,
    operating_point: Annotated[str | None, typer.Option(help="Operating point of the card.")] = None,
    split: Split = "val",
    full: Annotated[
        bool, typer.Option("--full", help="Also the results by threshold, and reliability.")
    ] = False,
    agreement: Annotated[
        bool,
        typer.Option("--agreement", help="With the teacher's answers instead of labels, at every quality."),
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="File of the teacher's weights, if they are not published.")
    ] = None,
    unquantised: Annotated[
        bool,
        typer.Option(
            "--unquantised", help="Of a detector: also high on coefficients that are not quantised."
        ),
    ] = False,
    json: command.Json = False,
    workers: command.Workers = 1,
    device: command.Device = "auto",
) -> None:
    """Accuracy after each layer and of the cascade, with counted payload bytes and cost.

    Of a detector: average precision after each layer and of the cascade, with counted payload bytes.
    """
    from overtone.models import find
    from overtone.training.detection.detector_file import is_detector
    from overtone.training.evaluation.evaluate import evaluate

    if is_detector(find(checkpoint)):
        from overtone.training.detection.evaluate_detector import evaluate_detector

        if threshold is not None or full or agreement or weights:
            raise ValueError(
                "a detector is measured by --quality, --every-quality, --operating-point, --split and "
                "--unquantised alone"
            )
        evaluate_detector(
            find(checkpoint),
            data,
            qualities=quality or (),
            every_quality=every_quality,
            operating_point=operating_point,
            split_name=split,
            unquantised=unquantised,
            as_json=json,
            workers=workers,
            device=device,
        )
        return
    if unquantised:
        raise ValueError("--unquantised is for detectors")

    evaluate(
        checkpoint,
        data,
        qualities=quality or (),
        every_quality=every_quality or (agreement and not quality),
        threshold=threshold,
        operating_point=operating_point,
        split_name=split,
        as_json=json,
        full=full,
        agreement=agreement,
        weights=weights,
        workers=workers,
        device=device,
    )
