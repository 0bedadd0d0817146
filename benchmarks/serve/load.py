"""A load generator in a process of its own: `python -m overtone.benchmarks.serve.load http 127.0.0.1:8080 ...`."""

import argparse
import asyncio
import functools
from pathlib import Path
from typing import get_args

from overtone.benchmarks.serve import http_load
from overtone.benchmarks.serve.window import Window
from overtone.benchmarks.serve.workload import Form, Workload


def main() -> None:
    """Load a server until the window is over, and print what was counted."""
    options = _parser().parse_args()
    window = Window(options.warm_up, options.seconds, functools.partial(print, flush=True))
    workload = Workload.read(options.workload)
    if options.kind == "session":
        from overtone.benchmarks.serve import session_load  # protobuf is of no use to the other kind

        asyncio.run(session_load.load(options.address, workload, options.in_flight, window))
        return
    bodies = workload.bodies(options.form)
    messages = http_load.requests(options.address, options.path, bodies, options.content_type)
    asyncio.run(http_load.load(options.address, messages, options.in_flight, window))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m overtone.benchmarks.serve.load", description=__doc__)
    parser.add_argument("kind", choices=("http", "session"))
    parser.add_argument("address")
    parser.add_argument("--workload", type=Path, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--path", default="/")
    parser.add_argument("--content-type", default="application/octet-stream")
    parser.add_argument("--form", choices=get_args(Form), default="joined")
    return parser


if __name__ == "__main__":
    main()
