"""Quotas of one client: images and bytes a second, as token buckets, and open sessions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from overtone.gpu_server.errors import OverQuota

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one client; None means no limit."""

    images_per_second: float | None = None
    bytes_per_second: float | None = None
    sessions: int | None = None


class Bucket:
    """A token bucket that may be overdrawn, because the size of a request is known only once it has arrived.

    A request is admitted while the bucket holds a whole unit. The bucket holds a second's worth, and at least one unit.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._level = self._most
        self._clock = clock
        self._at = clock()

    def wait(self, overdrawn: float = 0.0) -> float:
        """Seconds until the bucket holds a whole unit, less `overdrawn` seconds; 0 if that is now."""
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (1.0 - self._level) / self._per_second - overdrawn)

    def spend(self, count: float) -> None:
        """Take out units; the level may become negative."""
        self._level -= count


class Account:
    """The use that one client has made of its quota, in all its sessions and calls.

    Args:
        name: of the client, for messages.
        quota: its limits.
        on_refused: called with "images", "bytes" or "sessions" whenever that limit refuses something.
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
        """Set other limits; open sessions stay open."""
        self.quota = quota
        self._images = quota.images_per_second and Bucket(quota.images_per_second, self._clock)
        self._bytes = quota.bytes_per_second and Bucket(quota.bytes_per_second, self._clock)

    def check_bytes(self) -> None:
        """Admit a request whose size is not known yet.

        Raises:
            OverQuota: the client has sent more bytes than it may.
        """
        if self._bytes and (wait := self._bytes.wait()):
            raise self._refusal("bytes", f"{self.quota.bytes_per_second:g} bytes a second", wait)

    def take_image(self) -> None:
        """Count an image that has arrived.

        Raises:
            OverQuota: the client has sent more images, or more bytes, than it may.
        """
        self.check_bytes()
        if not self._images:
            return
        if wait := self._images.wait():
            raise self._refusal("images", f"{self.quota.images_per_second:g} images a second", wait)
        self._images.spend(1)

    def spend_bytes(self, count: int) -> None:
        """Count bytes that have arrived."""
        if self._bytes:
            self._bytes.spend(count)

    def pause(self) -> float:
        """Seconds for which a stream should not be read, to slow down a client that ignores refusals."""
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
