"""`overtone classify`: send image files to a server and print the answers."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.image_files import class_names
from overtone.edge_client.inquiry import Inquiry, Printing, ask, found_files
from overtone.edge_client.output import Line, row


def classify_files(client: AsyncClient, paths: Sequence[str | Path], printing: Printing | None = None) -> int:
    """Classify image files, and those of folders; see `inquiry.ask`.

    Returns:
        The exit code: zero if every image was answered.

    Raises:
        UsageError: there are no such files.
    """
    return ask(client, Classification(), found_files(paths), printing or Printing())


class Classification(Inquiry[Answer]):
    """The class of each image, and whether it is that of its folder."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    async def begin(self, client: AsyncClient, files: Sequence[Path]) -> None:
        """Fetch the labels by folder name, but only for several folders, which may be classes."""
        if len({path.absolute().parent for path in files}) < 2:
            return
        try:
            known = await client.labels()
        except OvertoneError:
            return
        self._names = class_names(known.labels, known.folders)

    def results(self, client: AsyncClient, files: Sequence[Path]) -> AsyncGenerator[Result[Answer], None]:
        """The answers."""
        return client.stream(files)

    def line(self, path: Path, answer: Answer, size: int) -> Line:
        """The row of an answer."""
        return row(path, answer, size, self._names)
