"""Two machines in one: network namespaces, joined by two virtual Ethernet cards that the kernel shapes.

Needs root and iproute2. The kernel's token bucket (`tbf`) counts whole Ethernet frames; it is told to leave
their 14 bytes of header out (`stab overhead -14`), so that it counts IP as `benchmarks.link.air` does.
Segmentation offload is off: a frame is a segment.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
from types import TracebackType
from typing import Literal, Self

from overtone.benchmarks.link.rate import Rate

Side = Literal["device", "server"]

ADDRESSES: dict[Side, str] = {"device": "198.18.0.1", "server": "198.18.0.2"}  # RFC 2544: for benchmarks
# As much as a `Link` saves up while idle, and at least a packet: less and tbf would drop it.
BURST_SECONDS = 0.002
PACKET = 1500
_CLONE_NEWNET = 0x40000000


class NamespaceError(RuntimeError):
    """This machine does not let us; the message says why, and what would help."""


def burst(rate: Rate) -> int:
    """Bytes that tbf lets through at once after a pause."""
    return max(PACKET + 100, round(rate.bytes * BURST_SECONDS))


class Namespaces:
    """A device and a server that reach each other through the kernel's shaping; use as a context manager.

    Raises:
        NamespaceError: on entering: no root, no tools, or a kernel that refuses.
    """

    def __init__(self) -> None:
        self._names: dict[Side, str] = {side: f"overtone-{side}-{os.getpid()}" for side in ADDRESSES}
        self._card = "veth-overtone"

    def __enter__(self) -> Self:
        missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
        if missing:
            raise NamespaceError(f"{' and '.join(missing)} missing: install iproute2")
        if os.geteuid() != 0:
            raise NamespaceError("network namespaces need root: run it with sudo")
        try:
            self._join()
        except NamespaceError:
            self._delete()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._delete()

    def shape(self, rate: Rate) -> None:
        """Send at `rate` from now on, both sides."""
        bucket = f"tbf rate {rate.bits:.0f}bit burst {burst(rate)} limit 4mb"
        for name in self._names.values():
            _run(
                f"tc -n {name} qdisc replace dev {self._card} root handle 1: "
                f"stab overhead -14 linklayer ethernet {bucket}"
            )

    def sent(self, side: Side) -> int:
        """Bytes of IP that one side has sent since `shape`."""
        told = json.loads(_run(f"tc -n {self._names[side]} -s -j qdisc show dev {self._card}"))
        return int(told[0]["bytes"])

    def socket(self, side: Side) -> socket.socket:
        """A TCP socket of that machine, non-blocking, without bbr's own pacing."""
        with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{self._names[side]}") as theirs:
            _enter(theirs.fileno())
            try:
                made = socket.socket()
            finally:
                _enter(ours.fileno())
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        return made

    def _join(self) -> None:
        device, server = self._names.values()
        for name in (device, server):
            _run(f"ip netns add {name}")
        _run(f"ip -n {device} link add {self._card} type veth peer name {self._card} netns {server}")
        for side, name in self._names.items():
            _run(f"ip -n {name} address add {ADDRESSES[side]}/24 dev {self._card}")
            _run(f"ip -n {name} link set {self._card} gso_max_segs 1 up")

    def _delete(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _run(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespaceError(f"`{command}` failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _enter(namespace: int) -> None:
    """Move this thread; what sockets it makes belong there for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise NamespaceError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
