"""The card of a detector: everything about its checkpoint except the weights, stored as JSON in the file."""

from typing import Literal

from overtone.models.card import Origin, Training
from overtone.models.common_card import CommonCard, Section
from overtone.models.detection.detector import DetectorArchitecture
from overtone.models.detection.operating_point import DetectionPoint


class DetectorAccuracy(Section):
    """Average precisions (fractions) on `n` pictures of the split `data`, at one quality and operating point.

    Attributes:
        ap50: COCO's AP50 of the boxes after each layer.
        mask_ap50: AP50 of the masks after each layer; empty if there are none.
        sizes: mean payload bytes of each layer.
        cascade: AP50 of the cascade's boxes.
        mask_cascade: AP50 of the cascade's masks.
        mean_bytes: mean payload bytes of the cascade.
        escalation_share: fraction of the pictures for which further blocks are requested.
        block_share: mean fraction of a picture's blocks that are requested.
    """

    data: str
    n: int
    quality: int
    operating_point: str
    ap50: tuple[float, ...]
    mask_ap50: tuple[float, ...] = ()
    sizes: tuple[float, ...]
    cascade: float
    mask_cascade: float | None = None
    mean_bytes: float
    escalation_share: float
    block_share: float


class DetectorCard(CommonCard[DetectionPoint]):
    """Everything about the checkpoint of a detector except its weights.

    Pictures are letter-boxed (`frequency.letter_box`) into a square of the profile's size.
    """

    task: Literal["detect"] = "detect"
    view: Literal["letter-box"] = "letter-box"
    architecture: DetectorArchitecture
    training: Training | None = None
    origin: Origin | None = None
    accuracy: tuple[DetectorAccuracy, ...] = ()
