"""A part of a data set for comparisons that shall not take all of it."""


def evenly_spread(total: int, count: int | None) -> list[int]:
    """`count` indices below `total`, evenly spread, so that they hold every class of sorted images; all when None."""
    count = total if count is None else min(count, total)
    return [i * total // count for i in range(count)]
