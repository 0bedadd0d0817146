"""What `overtone classify` does: send image files to a server and print the answers."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from rich.console import Console

from overtone.command import complain, remark
from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.errors import BadImage, OvertoneError, Unavailable, UsageError
from overtone.edge_client.image_files import class_names, find
from overtone.edge_client.output import Lines, Row, document, row, totals
from overtone.edge_client.screen import screen
from overtone.frequency import Profile

# After so many images in a row for which there was no server, the command gives up.
GIVE_UP = 20


def classify_files(
    client: AsyncClient,
    paths: Sequence[str | Path],
    *,
    as_json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Send images to a server and print the answers as they come; of several images, a table of bytes at the end.

    An image that fails is one line on standard error, and the others go on, unless there was no server for `GIVE_UP`
    images in a row. If some images failed, a last line says how many.

    Args:
        client: not opened yet.
        paths: image files, and folders of them.
        as_json: print one JSON object after all answers, and no table.
        quiet: print answers and errors alone.
        verbose: print what the server has, and where the time of each image went, on standard error.

    Returns:
        The exit code: zero if every image was answered.
    """
    files = list(find(paths))
    try:
        rows = asyncio.run(_classify(client, files, as_json=as_json, quiet=quiet, verbose=verbose))
    except OvertoneError as error:
        complain(str(error))
        return 1
    if as_json:
        print(json.dumps(document(rows), ensure_ascii=False))
    elif len(rows) > 1 and not quiet:
        Console(stderr=True).print(totals(rows), highlight=False)
    if len(rows) < len(files) and len(files) > 1:
        complain(f"{len(files) - len(rows)} of {len(files)} not answered")
    return 0 if len(rows) == len(files) else 1


async def _classify(
    client: AsyncClient, files: Sequence[Path], *, as_json: bool, quiet: bool, verbose: bool
) -> list[Row]:
    if not files:
        raise UsageError("no images there; name image files, or folders that hold some")
    if not any(path.exists() for path in files):
        raise UsageError(f"{files[0]}: no such file; name image files, or folders that hold some")
    rows: list[Row] = []
    unreached = 0
    async with client:
        if verbose:
            remark(f"the server has {_described(client.profile)}")
        names = await _names(client, files)
        with screen(len(files), bar=not quiet) as shown:
            lines = Lines(shown.answers)
            async with aclosing(client.stream(files)) as results:
                async for result in results:
                    shown.advance()
                    try:
                        rows.append(await asyncio.to_thread(_row, result, client.profile.size, names))
                    except OvertoneError as error:
                        unreached = unreached + 1 if isinstance(error, Unavailable) else 0
                        where = "" if isinstance(error, BadImage) else f"{result.image!s}: "
                        complain(f"{where}{error}", shown.errors)
                        if unreached == GIVE_UP:
                            complain(f"stopped: no server for {GIVE_UP} images in a row", shown.errors)
                            break
                        continue
                    unreached = 0
                    if not as_json:
                        lines.print(rows[-1])
                    if verbose:
                        remark(f"{result.image!s}: {_spent(result.get())}", shown.errors)
    return rows


def _described(profile: Profile) -> str:
    layers = len(profile.ladder)
    return f"{profile.name}, profile {profile.id.hex()}: images of {profile.size} pixels in {layers} layers"


def _spent(answer: Answer) -> str:
    """Where the time of an image went, and what was sent unasked."""
    timings, plan = answer.timings, answer.plan
    elsewhere = timings.total_ms - timings.encode_ms - timings.queue_ms - timings.compute_ms
    return (
        f"{answer.layers} layers, {plan.unasked} unasked ({plan.name}); {timings.encode_ms:.0f} ms encoding, "
        f"{timings.queue_ms:.0f} ms queued, {timings.compute_ms:.0f} ms computing, {elsewhere:.0f} ms on the way"
    )


async def _names(client: AsyncClient, files: Iterable[Path]) -> dict[str, str]:
    """The label for the name of a folder; labels are fetched only for several folders, which may be classes."""
    if len({path.absolute().parent for path in files}) < 2:
        return {}
    try:
        known = await client.labels()
    except OvertoneError:
        return {}
    return class_names(known.labels, known.folders)


def _row(result: Result, size: int, names: dict[str, str]) -> Row:
    assert isinstance(result.image, Path)
    return row(result.image, result.get(), size, names)
