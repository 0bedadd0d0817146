"""A measured number and what it may be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number, and what it may be at most."""

    name: str
    value: float
    unit: str
    bound: float | None = None

    @property
    def good(self) -> bool:
        """Whether it keeps its bound."""
        return self.bound is None or self.value <= self.bound
