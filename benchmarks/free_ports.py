"""Ports of this machine that nobody uses, for programs that have to be told theirs."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many different ones; somebody else may take them in the moment until they are used."""
    with ExitStack() as taken:
        opened = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in opened]
