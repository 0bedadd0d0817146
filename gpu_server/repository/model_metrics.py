"""What is counted of each version of a model."""

from enum import StrEnum

from overtone.gpu_server.telemetry.metrics import Metrics


class ServingRole(StrEnum):
    """For whom a version judges images."""

    SERVED = "served"
    SHADOW = "shadow"  # for nobody, to be compared with the one that is served


class ModelMetrics:
    """What one version of a model does in one role; over all that are served, the sums are those of the server."""

    def __init__(self, metrics: Metrics, model: str, version: str, role: ServingRole) -> None:
        self._metrics = metrics
        self._model = model, version
        self._labels = model, version, role

    def answered(self) -> None:
        """It has answered an image."""
        self._metrics.of(self._metrics.model_answers, *self._labels).inc()

    def escalated(self, layers: int) -> None:
        """It was not sure enough, and wanted the layers up to this number."""
        self._metrics.of(self._metrics.model_escalations, *self._labels, str(layers)).inc()

    def received(self, size: int) -> None:
        """It has used so many bytes."""
        self._metrics.of(self._metrics.model_bytes, *self._labels).inc(size)

    def compared(self, outcome: str) -> None:
        """As a shadow, it agreed with the answer or not, or there was nothing to compare."""
        self._metrics.of(self._metrics.shadowed, *self._model, outcome).inc()
