"""The command line: one subcommand a room, each room imported only when its command is called."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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
    """Run a command; an expected failure is one line and exit code 1, a missing extra says what to install."""
    try:
        return function()
    except ModuleNotFoundError as error:
        _fail(f"{room} needs {error.name}: pip install 'overtone[{extra}]'")
    except (ValueError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted", 130)


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
    resume: Annotated[bool, typer.Option(help="Go on after the last finished epoch.")] = False,
    workers: Workers = 1,
    device: Device = "auto",
) -> None:
    """Train a cascade and write a checkpoint."""

    def run() -> None:
        from training import commands

        commands.train(
            recipe, data, out, size=size, epochs=epochs, resume=resume, workers=workers, device=device
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
        from training import commands

        commands.evaluate(
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


def main() -> None:
    """Entry point for `python -m overtone`."""
    app(prog_name=os.path.basename(sys.argv[0]))


if __name__ == "__main__":
    main()
