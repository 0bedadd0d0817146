"""How much one client may use: images and bytes a second, as token buckets, and sessions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from overtone.gpu_server.errors import OverQuota

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one client; None is no limit."""

    images_per_second: float | None = None
    bytes_per_second: float | None = None
    sessions: int | None = None


class Bucket:
    """A token bucket that may be overdrawn, because what something costs is known only once it is here.

    Who comes is let in while there is a whole unit left. A second's worth can be saved up, at least one unit.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._level = self._most
        self._clock = clock
        self._at = clock()

    def wait(self, overdrawn: float = 0.0) -> float:
        """Seconds until there is a unit left, or until so many seconds' worth are missing to that; 0 if now."""
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (1.0 - self._level) / self._per_second - overdrawn)

    def spend(self, count: float) -> None:
        """Take out so many, whether they are there or not."""
        self._level -= count


class Account:
    """What one client has used, in all its sessions and calls, of what it may use.

    Args:
        name: of the client, for messages.
        quota: what it may use.
        on_refused: told "images", "bytes" or "sessions" whenever that quota refuses something.
        clock: seconds.
    """

    def __init__(
        self,
        name: str = "",
        quota: Quota = Quota(),
        on_refused: Callable[[str], None] = lambda _: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._name = name
        self._on_refused = on_refused
        self._clock = clock
        self._open = 0
        self.quota = quota
        self.change(quota)

    def change(self, quota: Quota) -> None:
        """Other limits from now on; sessions that are open stay open."""
        self.quota = quota
        self._images = quota.images_per_second and Bucket(quota.images_per_second, self._clock)
        self._bytes = quota.bytes_per_second and Bucket(quota.bytes_per_second, self._clock)

    def check_bytes(self) -> None:
        """Let in a request whose size is not known yet.

        Raises:
            OverQuota: more bytes have come than may.
        """
        if self._bytes and (wait := self._bytes.wait()):
            raise self._refusal("bytes", f"{self.quota.bytes_per_second:g} bytes a second", wait)

    def take_image(self) -> None:
        """Count an image that has come.

        Raises:
            OverQuota: it is one too many, or more bytes have come than may.
        """
        self.check_bytes()
        if not self._images:
            return
        if wait := self._images.wait():
            raise self._refusal("images", f"{self.quota.images_per_second:g} images a second", wait)
        self._images.spend(1)

    def spend_bytes(self, count: int) -> None:
        """Count bytes that have come."""
        if self._bytes:
            self._bytes.spend(count)

    def pause(self) -> float:
        """Seconds for which a stream should not be read: a client that minds no refusal is slowed down instead."""
        return self._bytes.wait(overdrawn=1.0) if self._bytes else 0.0

    @contextmanager
    def session(self) -> Iterator[None]:
        """Count a session as open while inside.

        Raises:
            OverQuota: it is one too many.
        """
        limit = self.quota.sessions
        if limit is not None and self._open >= limit:
            raise self._refusal("sessions", f"{limit} open sessions", 5.0)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _refusal(self, quota: str, limit: str, wait: float) -> OverQuota:
        self._on_refused(quota)
        return OverQuota(f"{self._name} may have {limit}; try again later", retry_after=wait)
