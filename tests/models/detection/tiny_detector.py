"""A tiny detector: MobileNetV3-Small at half width under a narrow pyramid."""

from overtone.models import Body
from overtone.models.detection.detector import DetectorArchitecture, PixelArchitecture
from overtone.models.detection.features import BodyFeatures
from overtone.models.detection.region_network import Head

NAME = "mobilenetv3_small_050"
LOW = BodyFeatures(body=Body(name=NAME, pixels=5))
HIGH = BodyFeatures(body=Body(name=NAME, pixels=8))
HEAD = Head(width=16, hidden=32, candidates=60, proposals=30, samples=32, detections=20, mask_layers=1)
MASKS = HEAD.model_copy(update={"masks": True})


def detector(head: Head = HEAD) -> DetectorArchitecture:
    return DetectorArchitecture(classes=2, low=LOW, high=HIGH, head=head)


def twin(head: Head = HEAD) -> PixelArchitecture:
    return PixelArchitecture(classes=2, features=HIGH, head=head)
