"""Errors of pydantic, as the messages of cards, recipes and plans give them."""

from pydantic import ValidationError


def one_line(error: ValidationError) -> str:
    """The fields that pydantic refuses, with the reasons, on one line."""
    lines = []
    for each in error.errors(include_url=False):
        field = ".".join(str(part) for part in each["loc"])
        lines.append(": ".join(filter(None, (field, each["msg"].removeprefix("Value error, ")))))
    return "; ".join(lines)
