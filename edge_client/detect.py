"""What `overtone detect` does: send pictures to a server, print what is in them, and draw it."""

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

# Of what is drawn; pictures of other kinds become PNGs.
WRITTEN = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def detect_in_files(
    client: AsyncClient,
    paths: Sequence[str | Path],
    printing: Printing | None = None,
    *,
    least: float = 0.0,
    out: Path | None = None,
) -> int:
    """Say what is where in picture files, and in those of folders; see `inquiry.ask`.

    Args:
        client: not opened yet.
        paths: picture files, and folders of them.
        printing: what is printed.
        least: the probability from which a thing is printed and drawn.
        out: where pictures with boxes go: a file if one picture is named, or else a folder.

    Returns:
        The exit code: zero if every picture was answered.

    Raises:
        UsageError: there are no such files, or what is drawn would take the place of one.
    """
    files = found_files(paths)
    places = {} if out is None else drawn_files(out, list(map(Path, paths)), files)
    return ask(client, Search(least, places), files, printing or Printing())


class Search(Inquiry[Detected]):
    """The things in each picture; `places` says where a picture with boxes is written, if it is."""

    def __init__(self, least: float, places: dict[Path, Path]) -> None:
        self._least = least
        self._places = places

    def results(self, client: AsyncClient, files: Sequence[Path]) -> AsyncGenerator[Result[Detected], None]:
        """The answers."""
        return client.stream(files, task="detect")

    def line(self, path: Path, answer: Detected, size: int) -> Line:
        """The row of an answer, whose things have been drawn."""
        place = self._places.get(path)
        if place is not None:
            write_drawn(path, answer.above(self._least), place)
        return detected_row(path, answer, size, self._least, place)


def write_drawn(path: Path, detections: Sequence[Detection], place: Path) -> None:
    """Write a picture with these things.

    Raises:
        BadImage: the picture can no longer be read, or cannot be written there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draw(path, detections).save(place)
    except (OSError, ValueError) as error:
        raise BadImage(f"{path}: {place} cannot be written ({error})") from error


def drawn_files(out: Path, paths: Sequence[Path], files: Sequence[Path]) -> dict[Path, Path]:
    """Where each of these files is drawn: in `out` itself, or below it as it lies below the folder that was named.

    Raises:
        UsageError: `out` cannot be used for that.
    """
    if len(paths) == 1 and not paths[0].is_dir() and out.suffix and not out.is_dir():
        if out.suffix.lower() not in SUFFIXES:
            raise UsageError(f"--out {out}: no kind of picture; name it drawn.png, for example")
        places = {files[0]: out}
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out}: not a folder, and there is more than one picture")
        places = {file: out / _written(_below(file, paths)) for file in files}
    taken = {file.resolve() for file in files}
    for place in places.values():
        if place.resolve() in taken:
            raise UsageError(f"--out {out}: {place} is there for another picture; name another place")
        taken.add(place.resolve())
    return places


def _below(file: Path, paths: Sequence[Path]) -> Path:
    """A file's name below the folder that was named, or its name."""
    for path in paths:
        if file.is_relative_to(path) and file != path:
            return file.relative_to(path)
    return Path(file.name)


def _written(name: Path) -> Path:
    """The same name, of a kind that is written."""
    return name if name.suffix.lower() in WRITTEN else name.with_suffix(".png")
