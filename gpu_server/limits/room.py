"""Room for what waits in a server, whichever of its models it is for."""

from overtone.gpu_server.limits.budget import Budget
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry.metrics import Metrics


class Room:
    """How many images may wait for a network, and how many pictures and pixels may be decoded or wait for it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        share, refused = settings.peer_share, metrics.refused
        waiting = settings.low_queue + settings.high_queue
        self.images = Budget(waiting, share, "images", refused("images"))
        self.pictures = Budget(settings.image_queue, share, "pictures", refused("pictures"))
        self.pixels = Budget(settings.image_pixels, share, "pixels", refused("pixels"))
