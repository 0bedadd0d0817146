"""One server process of the tiny checkpoint for all tests of the benchmarks, which are one xdist_group therefore."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from overtone.benchmarks.server import Server, serving


@pytest.fixture(scope="session")
def server(tiny_checkpoint: Path) -> Iterator[Server]:
    with asyncio.Runner() as runner:
        running = serving(str(tiny_checkpoint), "--threads", "1")
        yield runner.run(running.__aenter__())
        runner.run(running.__aexit__(None, None, None))
