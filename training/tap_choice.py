"""The taps of a channel's context network, chosen by a fixed rule from distances in space and frequency."""

from collections.abc import Sequence
from typing import Final

from overtone.frequency.channels import DC
from overtone.frequency.features import CENTRE_PLACE, PLACES, Tap
from overtone.frequency.tables import CodedChannels

Ints = tuple[int, ...]


def _places(*places: tuple[int, int]) -> Ints:
    return tuple(PLACES.index(place) for place in places)


# The nearest ones first, since there may be too many.
_CAUSAL: Final = _places(
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1)
)  # fmt: skip
_CROSS: Final = _places((-1, 0), (1, 0), (0, -1), (0, 1))
_CORNERS: Final = _places((-1, -1), (-1, 1), (1, -1), (1, 1))
_AHEAD: Final = _places((-2, 0), (2, 0), (0, -2), (0, 2))
_MOST: Final = {"low": 40, "high": 30}
_NEAR: Final = 2
_FAR: Final = 4


def taps(channels: Sequence[int], number: int, at: CodedChannels) -> list[Tap]:
    """The taps of a channel of a layer, the more useful ones first."""
    low = at.band.start == 0
    own = (*_CROSS, *_CORNERS, *_AHEAD) if at.refines else _CAUSAL if low else _CAUSAL[:8]
    if at.refines and channels[number] not in DC:
        own = (CENTRE_PLACE, *own)
    found = [Tap(number, place) for place in own]
    ranked = sorted((distance(channels, number, s), -s, s) for s in _others(number, at))
    for apart, _, source in ranked:
        dc = channels[source] in DC
        if apart > _FAR and not (dc and channels[source] // 64 == channels[number] // 64):
            continue
        places = _CROSS if dc else (CENTRE_PLACE, *_CROSS) if apart <= _NEAR else (CENTRE_PLACE,)
        places += _CORNERS if apart <= 1 + low and not at.refines and len(found) < 28 else ()
        found += [Tap(source, place) for place in places]
    return found[: _MOST["low" if low else "high"]]


def activities(channels: Sequence[int], number: int, at: CodedChannels) -> Ints:
    """The planes whose activity in the whole image the network reads."""
    ranked = sorted((distance(channels, number, s), -s, s) for s in _others(number, at))
    own = (number,) if at.refines else ()
    return (*own, *(source for _, _, source in ranked[:7]))


def distance(channels: Sequence[int], number: int, source: int) -> int:
    """The distance of two channels in frequency, and one or two more if their colour components differ."""
    one, other = channels[number], channels[source]
    apart = abs(one % 64 // 8 - other % 64 // 8) + abs(one % 8 - other % 8)
    across = 0 if one // 64 == other // 64 else 1 if not apart else 2
    return apart + across


def _others(number: int, at: CodedChannels) -> list[int]:
    return [s for s in range(max(number, at.known)) if s != number]
