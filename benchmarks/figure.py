"""A measured number and its bound."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured number, and its upper bound if it has one."""

    name: str
    value: float
    unit: str
    bound: float | None = None

    @property
    def good(self) -> bool:
        """Whether the number keeps to its bound."""
        return self.bound is None or self.value <= self.bound
