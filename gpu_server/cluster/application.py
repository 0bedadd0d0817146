"""The two applications of Ray Serve: engines, and the faces that use them.

They are two, so that the faces can end first, which need engines for what is in flight.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster import batches
from overtone.gpu_server.cluster.engine import EngineReplica
from overtone.gpu_server.cluster.face import FaceReplica
from overtone.gpu_server.cluster.nodes import number_of_nodes, one_on_each
from overtone.gpu_server.cluster.remote_network import Lost
from overtone.gpu_server.known import Known
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.ending import ENDING

ENGINES, FACES = "overtone-engines", "overtone-faces"
# An engine is added when more batches than this are with each, for so many seconds.
BUSY, UPSCALE = 1.2, 5.0
# Seconds for which the load is averaged, and until an engine is no longer needed.
LOOK_BACK, DOWNSCALE = 15.0, 120.0
# Seconds between two tests of a replica, and until it is taken to be lost.
HEALTH_PERIOD, HEALTH_TIMEOUT = 2.0, 10.0
# A line for every batch is of no use to anybody, and takes time.
LOGGING = {"enable_access_log": False}
# Seconds between looks at whether a replica that is to end still has something to do.
ENDED = 0.1
# Seconds until a new node gets its face, and until one that has gone is no longer waited for.
JOINING, LEAVING = 1.0, 60.0
# More nodes than anybody has.
MANY = 10_000

Application = Any


class ToEngines:
    """Sends batches through a handle of Ray Serve, which picks one of two engines by how much each has to do."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __call__(self, stage: Stage, images: Sequence[Known], seconds: float) -> NDArray[np.float32]:
        """Logits float32[N, K].

        Raises:
            Lost: they do not come.
        """
        response = self._handle.run.remote(stage, list(images))
        try:
            rows: NDArray[np.float32] = response.result(timeout_s=seconds)
        except RayTaskError:  # the network's own error
            raise
        except (RayError, RayServeException, TimeoutError) as error:
            response.cancel()
            raise Lost(f"{type(error).__name__}: {error}".partition("\n")[0]) from error
        return rows


def engines(settings: Settings, digest: str) -> Application:
    """The application of the engines; each has a GPU of its own, or cores."""
    gpus = 1 if settings.devices[0].startswith("cuda") else 0
    deployment = serve.deployment(
        EngineReplica,
        name="engine",
        autoscaling_config={
            "min_replicas": settings.engines,
            "initial_replicas": settings.engines,
            "max_replicas": max(settings.engines, settings.max_engines),
            "target_ongoing_requests": BUSY,
            "upscale_delay_s": UPSCALE,
            "downscale_delay_s": DOWNSCALE,
            "look_back_period_s": LOOK_BACK,
        },
        max_ongoing_requests=batches.of_an_engine(settings, number_of_nodes()),
        ray_actor_options={"num_cpus": max(1, settings.threads), "num_gpus": gpus},
        health_check_period_s=HEALTH_PERIOD,
        health_check_timeout_s=HEALTH_TIMEOUT,
        graceful_shutdown_wait_loop_s=ENDED,
        logging_config=LOGGING,
    )
    return deployment.bind(settings, digest)


def faces(settings: Settings, digest: str) -> Application:
    """The application of the faces, one on every node, all at the same ports."""
    count = number_of_nodes()
    own = settings.model_copy(update={"networks": batches.of_a_face(settings, count)})
    deployment = serve.deployment(
        FaceReplica,
        name="face",
        autoscaling_config={
            "min_replicas": 1,
            "initial_replicas": count,
            "max_replicas": MANY,
            "policy": {"policy_function": f"{one_on_each.__module__}:{one_on_each.__name__}"},
            "upscale_delay_s": JOINING,
            "downscale_delay_s": LEAVING,
        },
        max_replicas_per_node=1,
        ray_actor_options={"num_cpus": 1},
        health_check_period_s=HEALTH_PERIOD,
        health_check_timeout_s=HEALTH_TIMEOUT,
        graceful_shutdown_wait_loop_s=ENDED,
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=settings.pause + settings.drain + ENDING,
    )
    return deployment.bind(ToEngines(serve.get_app_handle(ENGINES)), own, digest)
