"""An event loop whose clock jumps to the next timer instead of waiting for it: minutes take no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Gives sockets a moment of real time, then lets the clock jump."""

    def __init__(self, moment: float) -> None:
        super().__init__()
        self.now = 0.0
        self._moment = moment

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(min(timeout, self._moment))
        self.now += 0.0 if ready else timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, moment: float) -> None:
        self._virtual = _Selector(moment)
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def virtually(main: Coroutine[Any, Any, T], moment: float = 0.0) -> T:
    """Run to the end on a virtual clock; `moment` is the real time in seconds that the kernel may need."""
    with asyncio.Runner(loop_factory=lambda: _Loop(moment)) as runner:
        return runner.run(main)
