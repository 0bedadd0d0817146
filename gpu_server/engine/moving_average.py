"""Running means of measured times, by which waiting times are estimated."""

WEIGHT_OF_NEWEST = 0.2


class MovingAverage:
    """An exponential moving average; 0 until the first value is known."""

    def __init__(self) -> None:
        self.value = 0.0
        self._empty = True

    def add(self, value: float) -> None:
        """Include a new value."""
        self.value = value if self._empty else self.value + WEIGHT_OF_NEWEST * (value - self.value)
        self._empty = False
