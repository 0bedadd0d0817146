"""A device in a process of its own: reads the path of an image per line, writes its answer as a line of JSON.

An empty line makes it fetch the tables of further layers now, so that their bytes can be told from those of images.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, get_args

from overtone.edge_client import Client, OvertoneError, Policy


def main(arguments: Sequence[str] | None = None) -> int:
    """Connect, report the profile, and answer until the input ends."""
    options = _parser().parse_args(arguments)
    try:
        with Client(
            options.address,
            policy=options.policy,
            operating_point=options.operating_point,
            quality=options.quality,
            timeout=options.timeout,
        ) as client:
            _write({"profile": client.profile.id.hex()})
            for line in sys.stdin:
                _write(_classify(client, path) if (path := line.rstrip("\n")) else _fetch_tables(client))
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m overtone.benchmarks.demo.device", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--policy", choices=get_args(Policy), default="auto")
    parser.add_argument("--operating-point", default="")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--timeout", type=float, default=60.0)
    return parser


def _fetch_tables(client: Client) -> dict[str, Any]:
    client.fetch_tables()
    return {"layers": client.profile.layers}


def _classify(client: Client, path: str) -> dict[str, Any]:
    try:
        answer = client.classify(path)
    except OvertoneError as error:
        return {"error": str(error)}
    return {
        "label": answer.label,
        "confidence": answer.confidence,
        "stage": answer.stage,
        "layers": answer.layers,
        "payload_bytes": answer.bytes_sent,
        "latency_ms": answer.timings.total_ms,
    }


def _write(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
