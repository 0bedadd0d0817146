"""Limits on HTTP connections: their number, in all and by peer, and the time for a request's header.

uvicorn bounds neither. It waits for ever for the end of a request's header, and a kept-alive connection that sends
one byte is never closed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from overtone.gpu_server.limits.bans import HOLD, Bans
from overtone.gpu_server.limits.budget import ALL, PEER
from overtone.gpu_server.limits.peers import peer_of


class HttpConnections:
    """Counts open connections. If there are too many, the one that has been idle longest is closed.

    That is a connection of the peer that is over its share, else of the peer that has most; a connection is idle if it
    has no request in progress. A peer over its share is banned from opening others for a while.

    Attributes:
        bans: the peers that are banned.

    Args:
        limit: connections of all peers together.
        share: the part that one peer may have.
        header_timeout: seconds from a request's first byte to the end of its header; also from the connection's start.
        on_refused: called with `ALL` or `PEER`, the limit that was reached, when a connection is refused or closed.
    """

    def __init__(
        self, limit: int, share: float, header_timeout: float, on_refused: Callable[[str], None]
    ) -> None:
        self.header_timeout = header_timeout
        self._limit = limit
        self._largest = max(1, int(limit * share))
        self._on_refused = on_refused
        self.bans = Bans()
        self._open: Counter[str] = Counter()
        self._idle: dict[str, dict[LimitedHttp, None]] = {}

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def admit(self, connection: "LimitedHttp") -> bool:
        """Count a new connection, for which an idle one may be closed; False if there is no room for it."""
        peer = connection.peer
        if self.count >= self._limit:
            self._on_refused(ALL)
            if not self._close_idle(max(self._open, key=self._open.__getitem__)):
                return False
        elif self._open[peer] >= self._largest:
            self._on_refused(PEER)
            # Whoever opens connections as fast as they are closed would keep the server busy with that.
            self.bans.add(peer, HOLD)
            if not self._close_idle(peer):
                return False
        self._open[peer] += 1
        self.set_idle(connection)
        return True

    def set_idle(self, connection: "LimitedHttp") -> None:
        """Take note that a connection waits for a request."""
        self._idle.setdefault(connection.peer, {})[connection] = None

    def set_busy(self, connection: "LimitedHttp") -> None:
        """Take note that a connection has a request in progress."""
        idle = self._idle.get(connection.peer, {})
        idle.pop(connection, None)
        if not idle:
            self._idle.pop(connection.peer, None)

    def remove(self, connection: "LimitedHttp") -> None:
        """Take note that a connection has ended."""
        self.set_busy(connection)
        peer = connection.peer
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    def _close_idle(self, peer: str) -> bool:
        """Close the connection of this peer that has been idle longest; False if all are busy."""
        longest = next(iter(self._idle.get(peer, ())), None)
        if longest is None:
            return False
        longest.close()
        return True


class LimitedHttp(H11Protocol):
    """uvicorn's protocol, counted among the connections of its server, and with a limit of time for headers.

    That of h11, because the one of httptools has no limit of bytes for headers.
    """

    def __init__(self, connections: HttpConnections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.peer = ""
        self._connections = connections
        self._counted = False
        self._made = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection, or close it at once."""
        address = transport.get_extra_info("peername")
        self.peer = peer_of(address[0]) if address else ""
        self._counted = self._connections.admit(self)
        if not self._counted:
            transport.abort()
            return
        super().connection_made(transport)
        self._made = True
        self._limit_header()

    def connection_lost(self, error: Exception | None) -> None:
        """Uncount the connection."""
        self._uncount()
        if self._made:
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and limit the time for the rest of an incomplete header."""
        if not self._counted:
            return
        super().data_received(data)
        if self._answering:
            self._unlimit_header()
            self._connections.set_busy(self)
        elif self._timer is None:
            self._limit_header()

    def on_response_complete(self) -> None:
        """Make the connection idle, unless the next request has arrived with the last one."""
        if self._counted:
            self._connections.set_idle(self)
        super().on_response_complete()
        if self._counted and self._answering:
            self._connections.set_busy(self)

    def close(self) -> None:
        """Close and uncount the connection at once."""
        self._uncount()
        self.transport.abort()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _uncount(self) -> None:
        self._unlimit_header()
        if self._counted:
            self._counted = False
            self._connections.remove(self)

    def _limit_header(self) -> None:
        self._timer = self.loop.call_later(self._connections.header_timeout, self.close)

    def _unlimit_header(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
