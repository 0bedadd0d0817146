"""Bans of addresses: the kernel drops their packets before a connection is made.

Closing a connection helps little against a peer that opens the next one at once, and gRPC accepts connections by
itself. But a filter on a listening socket, which needs no privileges, decides which packets it sees at all (Linux,
SO_ATTACH_FILTER; the language is that of McCanne and Jacobson, "The BSD Packet Filter", 1993).
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable
from itertools import chain

# From linux/filter.h and linux/bpf_common.h, which Python does not have.
ATTACH, DETACH = 26, 27
LOAD_WORD, LOAD_BYTE, SHIFT_RIGHT, JUMP, IF_EQUAL, RETURN = 0x20, 0x30, 0x74, 0x05, 0x15, 0x06
# Offsets count from the start of the IP header.
HEADER = -0x100000 & 0xFFFFFFFF
IPV4_SOURCE, IPV6_SOURCE = 12, 8
WHOLE, NOTHING = 0xFFFFFFFF, 0
# The system bounds the size of a filter, so no more peers than this are dropped, those that were banned last.
MOST_PEERS = 200

# Seconds for which a peer that has its share of connections cannot open others.
HOLD = 5.0

_Instruction = tuple[int, int, int, int]


class Bans:
    """Peers that cannot open connections to some listeners for a while; open connections stay.

    Attributes:
        listeners: the listening sockets. Where the system has no such filters, nobody is banned.
    """

    def __init__(self) -> None:
        self.listeners: list[socket.socket] = []
        self._until: dict[str, float] = {}

    def __contains__(self, peer: str) -> bool:
        return peer in self._until

    def add(self, peer: str, seconds: float) -> None:
        """Ban a peer from now on; no effect if it is banned for longer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._until.get(peer, 0.0) < until:
            known = peer in self._until
            self._until[peer] = until
            loop.call_at(until, self._expire)
            if not known:
                self._apply()

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._until = {peer: until for peer, until in self._until.items() if until > now}
        self._apply()

    def _apply(self) -> None:
        for listener in self.listeners:
            with contextlib.suppress(
                OSError, ValueError
            ):  # a peer without an address, a listener that was closed
                drop(listener, self._until)


def drop(listener: socket.socket, peers: Iterable[str]) -> None:
    """Have a listening socket ignore these peers, named as by `peers.peer_of`, and no others.

    Raises:
        OSError: the system refuses the filter, or has none.
    """
    if sys.platform != "linux":
        raise OSError("no filters")
    chosen = list(peers)[-MOST_PEERS:]
    if not chosen:
        listener.setsockopt(socket.SOL_SOCKET, DETACH, 0)
        return
    program = _program(chosen)
    code = b"".join(struct.pack("=HBBI", *each) for each in program)
    held = ctypes.create_string_buffer(code)
    listener.setsockopt(socket.SOL_SOCKET, ATTACH, struct.pack("@HP", len(program), ctypes.addressof(held)))


def _program(peers: Iterable[str]) -> list[_Instruction]:
    networks = [ipaddress.ip_network(peer, strict=False) for peer in peers]
    four = [_drop_ipv4(each) for each in networks if isinstance(each, ipaddress.IPv4Network)]
    six = [_drop_ipv6(each) for each in networks if isinstance(each, ipaddress.IPv6Network)]
    ipv4 = [(LOAD_WORD, 0, 0, HEADER + IPV4_SOURCE), *chain.from_iterable(four), (RETURN, 0, 0, WHOLE)]
    ipv6 = [*chain.from_iterable(six), (RETURN, 0, 0, WHOLE)]
    version = [(LOAD_BYTE, 0, 0, HEADER), (SHIFT_RIGHT, 0, 0, 4), (IF_EQUAL, 1, 0, 4)]
    return [*version, (JUMP, 0, 0, len(ipv4)), *ipv4, *ipv6]


def _drop_ipv4(network: ipaddress.IPv4Network) -> list[_Instruction]:
    return [(IF_EQUAL, 0, 1, int(network.network_address)), (RETURN, 0, 0, NOTHING)]


def _drop_ipv6(network: ipaddress.IPv6Network) -> list[_Instruction]:
    """Compare the first 64 bits, the size of a client's network (`peers.IPV6_NETWORK`)."""
    high, low = struct.unpack(">II", network.network_address.packed[:8])
    return [
        (LOAD_WORD, 0, 0, HEADER + IPV6_SOURCE),
        (IF_EQUAL, 0, 3, high),
        (LOAD_WORD, 0, 0, HEADER + IPV6_SOURCE + 4),
        (IF_EQUAL, 0, 1, low),
        (RETURN, 0, 0, NOTHING),
    ]
