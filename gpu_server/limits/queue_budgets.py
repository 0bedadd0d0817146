"""The budgets for images and pictures that wait in a server, shared by the cores of all its models."""

from overtone.gpu_server.limits.budget import Budget
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry.metrics import Metrics


class QueueBudgets:
    """How much may wait, in all and of each peer.

    Attributes:
        images: that wait for a network.
        pictures: JPEG, PNG and WebP files that are decoded or wait for it.
        pixels: of these files.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        share, refused = settings.peer_share, metrics.refused
        waiting = settings.low_queue + settings.high_queue
        self.images = Budget(waiting, share, "images", refused("images"))
        self.pictures = Budget(settings.image_queue, share, "pictures", refused("pictures"))
        self.pixels = Budget(settings.image_pixels, share, "pixels", refused("pixels"))
