"""From the errors of gRPC to the client's errors."""

import asyncio
import contextlib
from collections.abc import Iterator

import grpc

from overtone.edge_client.errors import ConnectionLost, OvertoneError, Unreachable, from_code
from overtone.edge_client.trust import problem_of
from overtone.protos import overtone_pb2 as pb

# Statuses of a stream that mean a broken connection, and not a refused image.
BROKEN = frozenset({"UNAVAILABLE", "UNKNOWN", "CANCELLED", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED"})

# How gRPC's messages begin where there was no connection at all.
NO_CONNECTION = "failed to connect to all addresses; last error: "
NO_ADDRESS = "DNS resolution failed"


@contextlib.contextmanager
def raises_connection_lost() -> Iterator[None]:
    """Tell a channel that was closed from a caller that was cancelled: gRPC raises CancelledError for both.

    Raises:
        ConnectionLost: the channel was closed.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLost("the connection was given up") from None


def from_rpc(error: grpc.aio.AioRpcError) -> OvertoneError:
    """The error for a call or a stream that failed, with the pause that the server asks for (gRFC A6)."""
    name = error.code().name
    told = error.details() or ""
    details = told.removeprefix(NO_CONNECTION)
    pause = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms", "")
    retry_after = int(pause) / 1e3 if isinstance(pause, str) and pause.isdecimal() else None
    if problem := problem_of(details):
        return problem
    if details != told or told.startswith(NO_ADDRESS):
        return Unreachable(details)
    if name in BROKEN:
        return ConnectionLost(f"the connection broke ({name}: {details})", retry_after)
    return from_code(name, details, retry_after)


def from_message(error: pb.Error) -> OvertoneError:
    """The error for one image of a session."""
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return from_code(names.get(error.code, "UNKNOWN"), error.message, error.retry_after_ms / 1e3)
