"""The networks behind LitServe: workers with batching, decoding in `decode_request`."""

from typing import Annotated, Any

import litserve
from fastapi import Body

from overtone.benchmarks.serve.peers.classifier import Classifier, batch_size, port, workers
from overtone.gpu_server.decoded_image import DecodedImage

# How long a worker waits for a batch to fill.
BATCH_SECONDS = 0.002


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Payloads in, a class out."""

    def setup(self, device: str) -> None:
        """Load the network, once in each worker."""
        self.classifier = Classifier()

    def decode_request(self, request: Annotated[bytes, Body()]) -> DecodedImage:
        """Decode the payloads."""
        return self.classifier.decode(request)

    def batch(self, inputs: list[DecodedImage]) -> list[DecodedImage]:
        """The network stacks its inputs itself."""
        return inputs

    def predict(self, batch: list[DecodedImage]) -> list[dict[str, Any]]:
        """Run the network."""
        return self.classifier.run(batch)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each image."""
        return output


def main() -> None:
    """Serve until terminated."""
    api = Api(max_batch_size=batch_size(), batch_timeout=BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers(), timeout=60)
    server.run(host="127.0.0.1", port=port(), generate_client_file=False, log_level="warning")
