"""The command `overtone describe`."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command

app = typer.Typer()


@app.command(
    epilog=command.examples(
        "overtone describe photograph.jpg --out description.png",
        "overtone describe photograph.jpg --every-quality --json",
    )
)
def describe(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    model: Annotated[
        str, typer.Option(help="A .safetensors file, or the name of a bundled checkpoint.")
    ] = "photographs",
    quality: Annotated[
        int | None, typer.Option(help="Of the model's profile; its default if left out.")
    ] = None,
    every_quality: Annotated[
        bool, typer.Option("--every-quality", help="All qualities of the profile, side by side.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="PNG to write (default: IMAGE.describe.png).")] = None,
    json: command.Json = False,
) -> None:
    """Draw an image as the server sees it, and print what every channel costs."""

    def action() -> None:
        from overtone.describe.command import run

        run(image, model, quality=quality, every_quality=every_quality, out=out, as_json=json)

    command.call("describe", "bench,train", action)
