"""The networks behind Ray Serve: replicas with `serve.batch`, decoding in the handler."""

import os
import signal
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from overtone.benchmarks.serve.peers.classifier import Classifier, batch_size, port, workers
from overtone.gpu_server.decoded_image import DecodedImage

BATCH_SECONDS = 0.002
# Of requests that a replica accepts: enough to fill batches.
ONGOING = 128
# On a busy machine its processes take longer to start than Ray waits for them.
PATIENCE = {"RAY_raylet_start_wait_time_s": "120", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}


@serve.deployment
class Api:
    """Payloads in, a class out."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    @serve.batch(max_batch_size=batch_size(), batch_wait_timeout_s=BATCH_SECONDS)  # type: ignore[untyped-decorator]
    async def predict(self, images: list[DecodedImage]) -> list[dict[str, Any]]:
        """Run the network."""
        return self.classifier.run(images)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Decode the payloads and wait for the batch."""
        answer: dict[str, Any] = await self.predict(self.classifier.decode(await request.body()))
        return answer


def main() -> None:
    """Serve until terminated."""
    count = workers()
    os.environ.update(PATIENCE)
    peer = {name: value for name, value in os.environ.items() if name.startswith(("PEER_", "PYTHON"))}
    ray.init(
        num_cpus=count + 1,  # of which the proxy and the controller need none
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": peer},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port()})
    serve.run(
        Api.options(  # type: ignore[attr-defined]
            num_replicas=count, max_ongoing_requests=ONGOING, ray_actor_options={"num_cpus": 1}
        ).bind()
    )
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
