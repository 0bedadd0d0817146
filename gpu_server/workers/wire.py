"""The binary messages between faces and the engine's process, over a Unix socket: images one way, rows the other.

Every message is a length (u32), a kind (u8) and a body; integers are little-endian. Both ends are of one version and
one user, but lengths are bounded all the same.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import Decoded
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.queues import AdmissionEstimate

MAX_MESSAGE = 64 * 1024 * 1024
HEADER = struct.Struct("<IB")
# Id, stage, since, expires; then layers, quality, shape of the values, length of the low row (0: none).
TICKET = struct.Struct("<IBddBBHHHI")
# Began, seconds, images, classes.
RESULTS = struct.Struct("<ddII")
# Id, reason, seconds to wait.
REFUSED = struct.Struct("<IBd")
ID = struct.Struct("<I")
# Backlog in seconds, standing, ready; for one more low and one more high image: estimated seconds, reason to refuse it.
STATE = struct.Struct("<d??dBdB")
STAGES = (Stage.LOW, Stage.HIGH)
REASONS = ("", "network", "stopping", "late", "full", "standing")


class Kind(IntEnum):
    """The kind of a message."""

    TICKET = 1
    REMOVE = 2
    RESULTS = 3
    REFUSED = 4
    STATE = 5


@dataclass(frozen=True, slots=True)
class TicketMessage:
    """An image for the engine.

    Attributes:
        number: its id on the connection.
        stage: LOW or HIGH.
        since: when it arrived, in event loop time, which all processes of a machine share.
        expires: event loop time after which nobody wants the result.
        image: the decoded image.
    """

    number: int
    stage: Stage
    since: float
    expires: float
    image: DecodedImage


@dataclass(frozen=True, slots=True)
class Results:
    """Rows float32[N, K] of one batch, for the N images with these ids.

    `began` is when the batch began, in event loop time, and `compute` the seconds that it took.
    """

    began: float
    compute: float
    numbers: list[int]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class State:
    """The state of the engine, as it sends it to every face.

    Attributes:
        backlog: estimated seconds for all images that wait.
        standing: whether a standing queue has formed.
        ready: whether a network works.
        low: the admission estimate for one more image of stage LOW.
        high: the same of stage HIGH.
    """

    backlog: float = 0.0
    standing: bool = False
    ready: bool = False
    low: AdmissionEstimate = field(default_factory=AdmissionEstimate)
    high: AdmissionEstimate = field(default_factory=AdmissionEstimate)


class Messages:
    """Splits a stream of bytes into messages.

    Raises:
        ValueError: a message is longer than any that is sent.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, memoryview]]:
        """The messages that are complete now; each is valid until the next one is taken."""
        self._buffer += data
        start = 0
        whole = bytes(self._buffer) if self._complete() else b""
        while len(whole) - start >= HEADER.size:
            size, kind = HEADER.unpack_from(whole, start)
            if size > MAX_MESSAGE:
                raise ValueError(f"a message of {size} bytes")
            end = start + HEADER.size + size
            if end > len(whole):
                break
            yield Kind(kind), memoryview(whole)[start + HEADER.size : end]
            start = end
        del self._buffer[:start]

    def _complete(self) -> bool:
        """Whether there is a whole message, or one that is too long."""
        if len(self._buffer) < HEADER.size:
            return False
        size = int(HEADER.unpack_from(self._buffer)[0])
        return size > MAX_MESSAGE or len(self._buffer) >= HEADER.size + size


def message(kind: Kind, *parts: bytes) -> bytes:
    """A message with this body."""
    return b"".join((HEADER.pack(sum(map(len, parts)), kind), *parts))


def write_ticket(ticket: TicketMessage) -> bytes:
    """The message for an image."""
    decoded, logits = ticket.image.decoded, ticket.image.low_row
    head = TICKET.pack(
        ticket.number,
        STAGES.index(ticket.stage),
        ticket.since,
        ticket.expires,
        decoded.layers,
        decoded.quality,
        *decoded.values.shape,
        0 if logits is None else len(logits),
    )
    arrays = (decoded.values, decoded.steps, *(() if logits is None else (logits,)))
    return message(Kind.TICKET, head, *(array.tobytes() for array in arrays))


def read_ticket(body: memoryview) -> TicketMessage:
    """The image of a message.

    Raises:
        ValueError, struct.error: the message is damaged.
    """
    number, stage, since, expires, layers, quality, c, h, w, classes = TICKET.unpack_from(body)
    at = TICKET.size
    values = np.frombuffer(body, np.int16, c * h * w, at).reshape(c, h, w)
    steps = np.frombuffer(body, np.float32, c, at + values.nbytes)
    logits = np.frombuffer(body, np.float32, classes, at + values.nbytes + steps.nbytes) if classes else None
    return TicketMessage(
        number, STAGES[stage], since, expires, DecodedImage(Decoded(values, steps, quality, layers), logits)
    )


def write_remove(number: int) -> bytes:
    """The message that withdraws the image with this id."""
    return message(Kind.REMOVE, ID.pack(number))


def read_remove(body: memoryview) -> int:
    """The id of the image to withdraw."""
    return int(ID.unpack(body)[0])


def write_results(
    began: float, compute: float, numbers: Sequence[int], rows: Sequence[NDArray[np.float32]]
) -> bytes:
    """The message for the rows of a batch that belong to one process; see `Results`."""
    head = RESULTS.pack(began, compute, len(numbers), len(rows[0]))
    return message(
        Kind.RESULTS, head, np.array(numbers, np.uint32).tobytes(), *(row.tobytes() for row in rows)
    )


def read_results(body: memoryview) -> Results:
    """The rows of a message."""
    began, compute, count, classes = RESULTS.unpack_from(body)
    numbers = np.frombuffer(body, np.uint32, count, RESULTS.size)
    rows = np.frombuffer(body, np.float32, count * classes, RESULTS.size + numbers.nbytes)
    return Results(began, compute, numbers.tolist(), rows.reshape(count, classes))


def write_refused(number: int, reason: str, wait: float) -> bytes:
    """The message that an image is not run: its id, one of `REASONS`, and seconds until another attempt may help."""
    return message(Kind.REFUSED, REFUSED.pack(number, REASONS.index(reason), wait))


def read_refused(body: memoryview) -> tuple[int, str, float]:
    """Id, reason and seconds to wait."""
    number, reason, wait = REFUSED.unpack(body)
    return number, REASONS[reason], wait


def write_state(state: State) -> bytes:
    """The message for the engine's state."""
    low, high = state.low, state.high
    estimates = (low.wait, REASONS.index(low.reason), high.wait, REASONS.index(high.reason))
    return message(Kind.STATE, STATE.pack(state.backlog, state.standing, state.ready, *estimates))


def read_state(body: memoryview) -> State:
    """The engine's state in a message."""
    backlog, standing, ready, low, low_reason, high, high_reason = STATE.unpack(body)
    estimates = AdmissionEstimate(low, REASONS[low_reason]), AdmissionEstimate(high, REASONS[high_reason])
    return State(backlog, standing, ready, *estimates)
