"""Unused ports of this machine, for programs that have to be told theirs."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of 127.0.0.1; another program may take one before it is used."""
    with ExitStack() as taken:
        opened = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in opened]
