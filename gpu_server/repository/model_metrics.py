"""Metrics of one version of a model."""

from enum import StrEnum

from overtone.gpu_server.telemetry.metrics import Metrics


class ServingRole(StrEnum):
    """For whom a version judges images, as the label `role` of metrics."""

    SERVED = "served"
    SHADOW = "shadow"  # for nobody: its answers are compared with those of the served version


class ModelMetrics:
    """Counts what one version does in one role; the sums over all served versions are the metrics of the server."""

    def __init__(self, metrics: Metrics, model: str, version: str, role: ServingRole) -> None:
        self._metrics = metrics
        self._model = model, version
        self._labels = model, version, role

    def answered(self) -> None:
        """Count an answered image."""
        self._metrics.of(self._metrics.model_answers, *self._labels).inc()

    def escalated(self, layers: int) -> None:
        """Count a request for the layers up to this number."""
        self._metrics.of(self._metrics.model_escalations, *self._labels, str(layers)).inc()

    def received(self, size: int) -> None:
        """Count bytes of layers and pictures that were judged."""
        self._metrics.of(self._metrics.model_bytes, *self._labels).inc(size)

    def compared(self, outcome: str) -> None:
        """Count a comparison of a shadow, by its outcome: agreed, disagreed, dropped or failed."""
        self._metrics.of(self._metrics.shadowed, *self._model, outcome).inc()
