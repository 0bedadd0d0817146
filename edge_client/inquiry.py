"""The shared part of `overtone classify` and `detect`: image files go to a server, and the answers are printed."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from overtone.command import complain, remark
from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.detection import Detected
from overtone.edge_client.errors import BadImage, OvertoneError, Unavailable, UsageError, WrongTask
from overtone.edge_client.image_files import find
from overtone.edge_client.output import Line, Lines, document, totals
from overtone.edge_client.screen import screen
from overtone.frequency import Profile

# After so many images in a row for which there was no server, the command gives up.
GIVE_UP = 20

AnswerT = TypeVar("AnswerT", Answer, Detected)


@dataclass(frozen=True)
class Printing:
    """The choice of what is printed.

    Attributes:
        as_json: one JSON object after all answers, and no table.
        quiet: answers and errors alone.
        verbose: on standard error, also the server's model, and the times of each image.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False


class Inquiry(ABC, Generic[AnswerT]):
    """A question about image files, and the printed form of its answers."""

    async def begin(self, client: AsyncClient, files: Sequence[Path]) -> None:
        """Get ready, with a client that is open.

        Raises:
            OvertoneError: the inquiry cannot go on.
        """

    @abstractmethod
    def results(self, client: AsyncClient, files: Sequence[Path]) -> AsyncGenerator[Result[AnswerT], None]:
        """The server's answers in the order of the files."""

    @abstractmethod
    def line(self, path: Path, answer: AnswerT, size: int) -> Line:
        """The line that is printed for an answer, computed in a thread; `size` is the profile's.

        Raises:
            OvertoneError: there can be no line, as the file can no longer be read.
        """


def ask(client: AsyncClient, inquiry: Inquiry[AnswerT], files: Sequence[Path], printing: Printing) -> int:
    """Send image files to a server and print the answers as they come; of several images, a table of bytes at the end.

    An image that fails is one line on standard error, and the others go on, unless there was no server for `GIVE_UP`
    images in a row. If some images failed, a last line says how many.

    Args:
        client: not opened yet.
        inquiry: about the files.
        files: of images.
        printing: what is printed.

    Returns:
        The exit code: zero if every image was answered.
    """
    try:
        lines = asyncio.run(_ask(client, inquiry, files, printing))
    except OvertoneError as error:
        complain(str(error))
        return 1
    if printing.as_json:
        print(json.dumps(document(lines), ensure_ascii=False))
    elif len(lines) > 1 and not printing.quiet:
        Console(stderr=True).print(totals(lines), highlight=False)
    if len(lines) < len(files) and len(files) > 1:
        complain(f"{len(files) - len(lines)} of {len(files)} not answered")
    return 0 if len(lines) == len(files) else 1


def found_files(paths: Sequence[str | Path]) -> list[Path]:
    """The image files that are named, and those of folders that are named.

    Raises:
        UsageError: there are none.
    """
    files = list(find(paths))
    if not files:
        raise UsageError("no images there; name image files, or folders that hold some")
    if not any(path.exists() for path in files):
        raise UsageError(f"{files[0]}: no such file; name image files, or folders that hold some")
    return files


async def _ask(
    client: AsyncClient, inquiry: Inquiry[AnswerT], files: Sequence[Path], printing: Printing
) -> list[Line]:
    lines: list[Line] = []
    unreached = 0
    async with client:
        if printing.verbose:
            remark(f"the server has {_described(client.profile)}")
        await inquiry.begin(client, files)
        with screen(len(files), bar=not printing.quiet) as shown:
            table = Lines(shown.answers)
            async with aclosing(inquiry.results(client, files)) as results:
                async for result in results:
                    shown.advance()
                    try:
                        lines.append(await asyncio.to_thread(_line, inquiry, result, client.profile.size))
                    except WrongTask:  # it would be the same with every image
                        raise
                    except OvertoneError as error:
                        unreached = unreached + 1 if isinstance(error, Unavailable) else 0
                        where = "" if isinstance(error, BadImage) else f"{result.image!s}: "
                        complain(f"{where}{error}", shown.errors)
                        if unreached == GIVE_UP:
                            complain(f"stopped: no server for {GIVE_UP} images in a row", shown.errors)
                            break
                        continue
                    unreached = 0
                    if not printing.as_json:
                        table.print(lines[-1])
                    if printing.verbose:
                        remark(f"{result.image!s}: {_spent(result.get())}", shown.errors)
    return lines


def _line(inquiry: Inquiry[AnswerT], result: Result[AnswerT], size: int) -> Line:
    assert isinstance(result.image, Path)
    return inquiry.line(result.image, result.get(), size)


def _described(profile: Profile) -> str:
    layers = len(profile.ladder)
    return f"{profile.name}, profile {profile.id.hex()}: images of {profile.size} pixels in {layers} layers"


def _spent(answer: Answer | Detected) -> str:
    """The layers and times of an image, as text."""
    timings, plan = answer.timings, answer.plan
    elsewhere = timings.total_ms - timings.encode_ms - timings.queue_ms - timings.compute_ms
    return (
        f"{answer.layers} layers, {plan.unasked} unasked ({plan.name}); {timings.encode_ms:.0f} ms encoding, "
        f"{timings.queue_ms:.0f} ms queued, {timings.compute_ms:.0f} ms computing, {elsewhere:.0f} ms on the way"
    )
