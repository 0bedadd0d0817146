"""The channel sets of Xu et al., "Learning in the Frequency Domain" (CVPR 2020), and the bands low and high.

A channel is one frequency of one component over all blocks of an image. Its index is
``64 * component + 8 * v + u``, where the components Y, Cb, Cr are 0, 1, 2, and v and u are the vertical and
horizontal frequency. The order is row-major, not zigzag.
"""

from typing import Final

Channels = tuple[int, ...]

COUNT: Final = 192
BLOCK: Final = 8


def _named(luma: Channels, chroma: Channels) -> Channels:
    return luma + tuple(64 + c for c in chroma) + tuple(128 + c for c in chroma)


ALL: Final[Channels] = tuple(range(COUNT))

SETS: Final[dict[int, Channels]] = {
    6: _named((0, 1, 8, 9), (0,)),
    24: _named((*range(0, 4), *range(8, 12), *range(16, 20), *range(24, 28)), (0, 1, 8, 9)),
    32: _named(
        (*range(0, 5), *range(8, 13), *range(16, 21), *range(24, 28), *range(32, 35)), (0, 1, 2, 8, 9)
    ),
    48: _named(
        (*range(0, 6), *range(8, 14), *range(16, 22), *range(24, 30), *range(32, 36), *range(40, 44)),
        (0, 1, 2, 8, 9, 10, 16, 17),
    ),
    64: _named(
        (
            *range(0, 7),
            *range(8, 15),
            *range(16, 22),
            *range(24, 30),
            *range(32, 38),
            *range(40, 46),
            *range(48, 54),
        ),
        (0, 1, 2, 8, 9, 10, 16, 17, 24, 25),
    ),
    192: ALL,
}

LOW: Final[Channels] = SETS[6]
HIGH: Final[Channels] = (2, 3, 10, 11, *range(16, 20), *range(24, 28), 65, 72, 73, 129, 136, 137)
DC: Final[frozenset[int]] = frozenset({0, 64, 128})
