"""A client for commands that ask a server a single thing, such as its profile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from overtone.edge_client.client import Options
from overtone.edge_client.errors import OvertoneError
from overtone.edge_client.sync import Client


@contextmanager
def open_client(server: str, **options: Unpack[Options]) -> Iterator[Client]:
    """A client of the server at this address, for the length of the block.

    Raises:
        ValueError: any error of the client, which a command prints in one line.
    """
    try:
        with Client(server, **options) as client:
            yield client
    except OvertoneError as error:
        raise ValueError(str(error)) from error
