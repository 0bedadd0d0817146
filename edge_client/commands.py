"""The command `overtone classify`."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console

from overtone.edge_client.address import Tls
from overtone.edge_client.answer import Result
from overtone.edge_client.client import DEFAULT_ADDRESS, AsyncClient
from overtone.edge_client.errors import BadPicture, OvertoneError, Unavailable, UsageError
from overtone.edge_client.pictures import class_names, find
from overtone.edge_client.policy import Policy
from overtone.edge_client.rows import Lines, Row, document, row

# A server that has been away for so many pictures in a row will not be back for the next.
GIVE_UP = 20


def classify(
    paths: Sequence[str | Path],
    server: str = DEFAULT_ADDRESS,
    *,
    policy: Policy = "auto",
    token: str | None = None,
    authority: Path | None = None,
    operating_point: str = "",
    quality: int | None = None,
    timeout: float = 10.0,
    cache: Path | None = None,
    as_json: bool = False,
) -> int:
    """Send pictures to a server and print what comes back, as it comes.

    A picture that fails is one line on standard error, and the others go on, unless the server has been out
    of reach for `GIVE_UP` in a row. Where some have failed, a last line says how many.

    Args:
        paths: picture files, and folders of them.
        server: address, as `AsyncClient` takes it.
        policy: when to send high.
        token: the server's, if it wants one.
        authority: PEM file of the authority to trust for grpcs:// and https://.
        operating_point: of the model's card; empty is its default.
        quality: of the profile; None is its default.
        timeout: seconds for each picture.
        cache: a folder to keep profiles in.
        as_json: print one JSON object when all are done, and nothing else.

    Returns:
        The exit code: zero if every picture has been answered.
    """
    complaints = Console(stderr=True)
    try:
        if cache is not None:
            _check(cache)
        client = AsyncClient(
            server,
            token=token,
            tls=Tls(authority) if authority else None,
            policy=policy,
            operating_point=operating_point,
            quality=quality,
            timeout=timeout,
            cache=cache,
        )
        lines = None if as_json else Lines(Console())
        files = list(find(paths))
        rows = asyncio.run(_classify(client, files, lines, complaints))
    except OvertoneError as error:
        _complain(complaints, str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if as_json:
        print(json.dumps(document(rows), ensure_ascii=False))
    if len(rows) < len(files) and len(files) > 1:
        _complain(complaints, f"{len(files) - len(rows)} of {len(files)} not answered")
    return 0 if len(rows) == len(files) else 1


def _check(cache: Path) -> None:
    """Find now that profiles cannot be kept there: a client would go on without a word."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=cache).close()
    except FileExistsError:
        raise UsageError(f"--cache {cache}: not a folder") from None
    except OSError as error:
        raise UsageError(f"--cache {cache}: cannot be written ({error.strerror})") from error


async def _classify(
    client: AsyncClient, files: Sequence[Path], lines: Lines | None, complaints: Console
) -> list[Row]:
    if not files:
        raise UsageError("no pictures there; name picture files, or folders that hold some")
    if not any(path.exists() for path in files):
        raise UsageError(f"{files[0]}: no such file")
    rows: list[Row] = []
    unreached = 0
    async with client:
        names = await _names(client, files)
        async with aclosing(client.stream(files)) as results:
            async for result in results:
                try:
                    rows.append(await asyncio.to_thread(_row, result, client.profile.size, names))
                except OvertoneError as error:
                    unreached = unreached + 1 if isinstance(error, Unavailable) else 0
                    where = "" if isinstance(error, BadPicture) else f"{result.picture!s}: "
                    _complain(complaints, f"{where}{error}")
                    if unreached == GIVE_UP:
                        _complain(complaints, f"stopped: no server for {GIVE_UP} pictures in a row")
                        break
                else:
                    unreached = 0
                    if lines is not None:
                        lines.print(rows[-1])
    return rows


async def _names(client: AsyncClient, files: Iterable[Path]) -> dict[str, str]:
    """Label by folder name; the card is asked only if a folder might need it."""
    labels = client.profile.labels
    names = class_names(labels)
    if all(path.absolute().parent.name in names for path in files):
        return names
    try:
        folders = (await client.card()).get("classes", ())
    except OvertoneError:
        folders = ()
    return class_names(labels, folders if len(folders) == len(labels) else ())


def _row(result: Result, size: int, names: dict[str, str]) -> Row:
    assert isinstance(result.picture, Path)
    return row(result.picture, result.get(), size, names)


def _complain(console: Console, message: str) -> None:
    console.print(f"overtone classify: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
