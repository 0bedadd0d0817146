"""The entropy coder in C, see `frequency.coder`."""

from typing import Any

from numpy.typing import NDArray

def encode(
    plan: bytes,
    known: NDArray[Any],
    coded: NDArray[Any],
    height: int,
    width: int,
    check: int,
    region: NDArray[Any] | None = ...,
) -> bytes: ...
def decode(
    plan: bytes, known: NDArray[Any], body: bytes, height: int, width: int, region: NDArray[Any] | None = ...
) -> tuple[bytes, int]: ...
