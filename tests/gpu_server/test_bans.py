"""Filters of the system on real listeners; needs Linux."""

import socket
import sys

import pytest

from overtone.gpu_server.limits.bans import Bans, drop
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")

MANY = [f"10.0.{number // 256}.{number % 256}" for number in range(1000)]


def reached(listener: socket.socket, source: str) -> bool:
    """Whether a connection from this address is made."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(0.1)
        client.bind((source, 0))
        host = "::1" if ":" in source else "127.0.0.1"
        try:
            client.connect((host, listener.getsockname()[1]))
        except TimeoutError:
            return False
        listener.accept()[0].close()
        return True


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_only_the_peers_named_are_dropped(family: socket.AddressFamily) -> None:
    if family is socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    dual = family is socket.AF_INET6
    host = "::" if dual else "127.0.0.1"
    with socket.create_server((host, 0), family=family, dualstack_ipv6=dual) as listener:
        drop(listener, [*MANY, "127.0.0.2", "2001:db8::/64", "127.0.0.9"])
        for source, expected in (("127.0.0.1", True), ("127.0.0.2", False), ("127.0.0.9", False)):
            assert reached(listener, source) is expected
        if dual:
            assert reached(listener, "::1")
            drop(listener, ["::1", "10.0.0.1"])
            assert not reached(listener, "::1")
        drop(listener, [])
        assert reached(listener, "127.0.0.2")


async def test_a_ban_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bans = Bans()
        bans.listeners.append(listener)
        bans.add("127.0.0.2", 1.0)  # longer than a busy machine takes for the next lines
        bans.add("somebody at a Unix socket", 0.05)
        assert "127.0.0.2" in bans
        await until(lambda: "127.0.0.2" not in bans)
        assert reached(listener, "127.0.0.2")
