"""The networks behind BentoML: workers with adaptive batching.

Its batched methods take lists, so the body of a request is JSON with a list of one.
"""

import base64
import os
import sys
from typing import Any

import bentoml

from overtone.benchmarks.serve.peers.classifier import Classifier, batch_size, port, workers

# Requests that would wait longer are refused; longer than any does here.
LONGEST_MS = 30_000


@bentoml.service(workers=workers(), traffic={"timeout": 60})
class Api:
    """Payloads in, a class out."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/", batchable=True, max_batch_size=batch_size(), max_latency_ms=LONGEST_MS
    )
    def predict(self, bodies: list[str]) -> list[dict[str, Any]]:
        """Decode the payloads and run the network."""
        return self.classifier.run([self.classifier.decode(base64.b64decode(body)) for body in bodies])


def main() -> None:
    """Serve until terminated."""
    program = [sys.executable, "-m", "bentoml", "serve", f"{__name__}:Api"]
    os.execv(sys.executable, [*program, "--host", "127.0.0.1", "--port", str(port())])
