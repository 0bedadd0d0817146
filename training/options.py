"""Options that several commands of the trainer have."""

from typing import Annotated

import typer

CHECKPOINT = typer.Argument(metavar="CHECKPOINT", help="A .safetensors file, or the name of a bundled one.")
Checkpoint = Annotated[str, CHECKPOINT]
Qualities = Annotated[list[int] | None, typer.Option("--quality", help="Quality; may be repeated.")]
Split = Annotated[str, typer.Option("--split", "--part", help="calibration, val or train.")]
