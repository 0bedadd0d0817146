"""A tiny detector: MobileNetV3-Small at half width under a narrow pyramid."""

from dataclasses import replace
from pathlib import Path

import torch

from overtone.frequency import Profile
from overtone.models import Body
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import save_detector
from overtone.models.detection.detector import Detector, DetectorArchitecture, PixelArchitecture
from overtone.models.detection.features import BodyFeatures
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.models.detection.region_network import HeadConfig

NAME = "mobilenetv3_small_050"
LOW = BodyFeatures(body=Body(name=NAME, pixels=5))
HIGH = BodyFeatures(body=Body(name=NAME, pixels=8))
HEAD = HeadConfig(width=16, hidden=32, candidates=60, proposals=30, samples=32, detections=20, mask_layers=1)
CLASSES = ("red", "blue")
UNSURE, SURE = 0.36, 0.38
MASKS = HEAD.model_copy(update={"masks": True})


def detector(head: HeadConfig = HEAD) -> DetectorArchitecture:
    return DetectorArchitecture(classes=2, low=LOW, high=HIGH, head=head)


def twin(head: HeadConfig = HEAD) -> PixelArchitecture:
    return PixelArchitecture(classes=2, features=HIGH, head=head)


def write_checkpoint(path: Path, profile: Profile, head: HeadConfig = HEAD) -> Path:
    """A random detector of the classes "red" and "blue", with an answer of low's to each kind of question.

    Its operating points are "always" (low answers), "never" (all blocks are asked for) and "default", under which
    blocks are asked for where low's scores are in the middle of those that it gives.
    """
    torch.manual_seed(0)
    model = Detector(detector(head)).eval()
    points = (
        DetectionPoint(name="always", unsure=NEVER),
        DetectionPoint(name="never", unsure=0, whole=True),
        DetectionPoint(name="default", unsure=UNSURE, sure=SURE, margin=0, shown=SURE),
    )
    card = DetectorCard(
        name="tiny-detector",
        architecture=model.architecture,
        profile=replace(profile, name="tiny-detector", labels=CLASSES),
        classes=CLASSES,
        operating_points=points,
        operating_point="default",
    )
    save_detector(path, model, card, half=False)
    return path
