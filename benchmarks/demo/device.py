"""A device in a process of its own: reads the path of an image per line, writes its answer as a line of JSON.

With `--task detect` it asks for the objects in the image.

An empty line makes it fetch the tables of further layers now, so that their bytes can be told from those of images.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, get_args

from overtone.edge_client import Answer, Client, Detected, OvertoneError, Policy, Task


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
                path = line.rstrip("\n")
                _write(_answer(client, path, options.task) if path else _fetch_tables(client))
    except OvertoneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m overtone.benchmarks.demo.device", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--task", choices=get_args(Task), default="classify")
    parser.add_argument("--policy", choices=get_args(Policy), default="auto")
    parser.add_argument("--operating-point", default="")
    parser.add_argument("--quality", type=int)
    parser.add_argument("--timeout", type=float, default=60.0)
    return parser


def _fetch_tables(client: Client) -> dict[str, Any]:
    client.fetch_tables()
    return {"layers": client.profile.layers}


def _answer(client: Client, path: str, task: Task) -> dict[str, Any]:
    try:
        return _classified(client.classify(path)) if task == "classify" else _detected(client.detect(path))
    except OvertoneError as error:
        return {"error": str(error)}


def _classified(answer: Answer) -> dict[str, Any]:
    return {"label": answer.label, "confidence": answer.confidence} | _cost(answer)


def _detected(answer: Detected) -> dict[str, Any]:
    found = [each.to_json() for each in answer.detections]
    return {"detections": found, "confident": answer.confident} | _cost(answer)


def _cost(answer: Answer | Detected) -> dict[str, Any]:
    return {
        "stage": answer.stage,
        "layers": answer.layers,
        "payload_bytes": answer.bytes_sent,
        "latency_ms": answer.timings.total_ms,
    }


def _write(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
