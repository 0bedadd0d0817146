"""The two applications of Ray Serve: engines, and the faces that use them.

They are two, so that faces can be stopped first, while engines still run the images in flight.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster import concurrency
from overtone.gpu_server.cluster.engine import EngineReplica
from overtone.gpu_server.cluster.face import FaceReplica
from overtone.gpu_server.cluster.nodes import number_of_nodes, one_face_per_node
from overtone.gpu_server.cluster.remote_network import BatchLost
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.shutdown import SHUTDOWN_SECONDS

ENGINES, FACES = "overtone-engines", "overtone-faces"
# Ray Serve adds an engine when the engines have more batches each than the first, for the seconds of the second.
TARGET_BATCHES, UPSCALE = 1.2, 5.0
# Seconds for which the load is averaged, and until an engine is no longer needed.
LOOK_BACK, DOWNSCALE = 15.0, 120.0
# Seconds between two health checks of a replica, and until one that does not answer counts as lost.
HEALTH_PERIOD, HEALTH_TIMEOUT = 2.0, 10.0
# A line for every batch is of no use to anybody, and takes time.
LOGGING = {"enable_access_log": False}
# Seconds between two checks whether a replica that is being stopped has finished its requests.
SHUTDOWN_POLL = 0.1
# Seconds until a new node gets its face, and until the face of a node that has gone is given up.
JOIN_DELAY, LEAVE_DELAY = 1.0, 60.0
# More faces than any cluster has nodes.
MOST_FACES = 10_000

Application = Any


class EngineHandle:
    """Sends batches to engines through a handle of Ray Serve, which picks the less busy of two engines."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __call__(self, stage: Stage, images: Sequence[DecodedImage], seconds: float) -> NDArray[np.float32]:
        """Rows float32[N, K]; waits `seconds` for them at most.

        Raises:
            BatchLost: they do not arrive.
        """
        response = self._handle.run.remote(stage, list(images))
        try:
            rows: NDArray[np.float32] = response.result(timeout_s=seconds)
        except RayTaskError:  # the network's own error
            raise
        except (RayError, RayServeException, TimeoutError) as error:
            response.cancel()
            raise BatchLost(f"{type(error).__name__}: {error}".partition("\n")[0]) from error
        return rows


def engines(settings: Settings, digest: str) -> Application:
    """The application of the engines, each with a GPU, or with cores; `digest` is the SHA-256 of the model's file."""
    gpus = 1 if settings.devices[0].startswith("cuda") else 0
    deployment = serve.deployment(
        EngineReplica,
        name="engine",
        autoscaling_config={
            "min_replicas": settings.engines,
            "initial_replicas": settings.engines,
            "max_replicas": max(settings.engines, settings.max_engines),
            "target_ongoing_requests": TARGET_BATCHES,
            "upscale_delay_s": UPSCALE,
            "downscale_delay_s": DOWNSCALE,
            "look_back_period_s": LOOK_BACK,
        },
        max_ongoing_requests=concurrency.batches_per_engine(settings, number_of_nodes()),
        ray_actor_options={"num_cpus": max(1, settings.threads), "num_gpus": gpus},
        health_check_period_s=HEALTH_PERIOD,
        health_check_timeout_s=HEALTH_TIMEOUT,
        graceful_shutdown_wait_loop_s=SHUTDOWN_POLL,
        logging_config=LOGGING,
    )
    return deployment.bind(settings, digest)


def faces(settings: Settings, digest: str) -> Application:
    """The application of the faces, one on every node, all at the same ports; `digest` as in `engines`."""
    count = number_of_nodes()
    own = settings.model_copy(update={"networks": concurrency.batches_per_face(settings, count)})
    deployment = serve.deployment(
        FaceReplica,
        name="face",
        autoscaling_config={
            "min_replicas": 1,
            "initial_replicas": count,
            "max_replicas": MOST_FACES,
            "policy": {"policy_function": f"{one_face_per_node.__module__}:{one_face_per_node.__name__}"},
            "upscale_delay_s": JOIN_DELAY,
            "downscale_delay_s": LEAVE_DELAY,
        },
        max_replicas_per_node=1,
        ray_actor_options={"num_cpus": 1},
        health_check_period_s=HEALTH_PERIOD,
        health_check_timeout_s=HEALTH_TIMEOUT,
        graceful_shutdown_wait_loop_s=SHUTDOWN_POLL,
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=settings.pause + settings.drain + SHUTDOWN_SECONDS,
    )
    return deployment.bind(EngineHandle(serve.get_app_handle(ENGINES)), own, digest)
