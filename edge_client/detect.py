"""`overtone detect`: send pictures to a server, print the detected objects, and draw them."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from overtone.edge_client.answer import Result
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.detection import Detected, Detection
from overtone.edge_client.drawing import draw
from overtone.edge_client.errors import BadImage, UsageError
from overtone.edge_client.image_files import SUFFIXES
from overtone.edge_client.inquiry import Inquiry, Printing, ask, found_files
from overtone.edge_client.output import Line, detected_row

# Suffixes of the pictures that are written; drawings of other kinds become PNGs.
WRITTEN = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def detect_in_files(
    client: AsyncClient,
    paths: Sequence[str | Path],
    printing: Printing | None = None,
    *,
    least: float = 0.0,
    out: Path | None = None,
) -> int:
    """Find the objects in picture files, and in those of folders; see `inquiry.ask`.

    Args:
        client: not opened yet.
        paths: picture files, and folders of them.
        printing: what is printed.
        least: the probability from which an object is printed and drawn.
        out: for pictures with boxes: a file if one picture is named, or else a folder.

    Returns:
        The exit code: zero if every picture was answered.

    Raises:
        UsageError: there are no such files, or a drawing would overwrite one of them.
    """
    files = found_files(paths)
    outputs = {} if out is None else output_files(out, list(map(Path, paths)), files)
    return ask(client, Search(least, outputs), files, printing or Printing())


class Search(Inquiry[Detected]):
    """Asks for the objects in each picture, and draws them into the files `outputs`, by picture."""

    def __init__(self, least: float, outputs: dict[Path, Path]) -> None:
        self._least = least
        self._outputs = outputs

    def results(self, client: AsyncClient, files: Sequence[Path]) -> AsyncGenerator[Result[Detected], None]:
        """The answers."""
        return client.stream(files, task="detect")

    def line(self, path: Path, answer: Detected, size: int) -> Line:
        """The row of an answer, after the objects have been drawn."""
        output = self._outputs.get(path)
        if output is not None:
            write_drawn(path, answer.above(self._least), output)
        return detected_row(path, answer, size, self._least, output)


def write_drawn(path: Path, detections: Sequence[Detection], output: Path) -> None:
    """Write a copy of a picture with these detections drawn into it.

    Raises:
        BadImage: the picture can no longer be read, or the copy cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draw(path, detections).save(output)
    except (OSError, ValueError) as error:
        raise BadImage(f"{path}: {output} cannot be written ({error})") from error


def output_files(out: Path, paths: Sequence[Path], files: Sequence[Path]) -> dict[Path, Path]:
    """The file that each picture is drawn to: `out` itself, or one below it with the same path as below its folder.

    Args:
        out: a file or a folder.
        paths: the files and folders that were named.
        files: the pictures that were found there.

    Raises:
        UsageError: `out` is no picture and no folder, or two pictures would be drawn to one file.
    """
    if len(paths) == 1 and not paths[0].is_dir() and out.suffix and not out.is_dir():
        if out.suffix.lower() not in SUFFIXES:
            raise UsageError(f"--out {out}: no kind of picture; name it drawn.png, for example")
        outputs = {files[0]: out}
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out}: not a folder, and there is more than one picture")
        outputs = {file: out / _written(_below(file, paths)) for file in files}
    taken = {file.resolve() for file in files}
    for output in outputs.values():
        if output.resolve() in taken:
            raise UsageError(f"--out {out}: {output} is there for another picture; name another place")
        taken.add(output.resolve())
    return outputs


def _below(file: Path, paths: Sequence[Path]) -> Path:
    """A file's name below the folder that was named, or its name."""
    for path in paths:
        if file.is_relative_to(path) and file != path:
            return file.relative_to(path)
    return Path(file.name)


def _written(name: Path) -> Path:
    """The same name, with the suffix of a kind of picture that is written."""
    return name if name.suffix.lower() in WRITTEN else name.with_suffix(".png")
