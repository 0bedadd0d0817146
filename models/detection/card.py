"""The card of a detector."""

from typing import Literal

from overtone.models.card import Origin, Training
from overtone.models.common_card import CommonCard, Section
from overtone.models.detection.detector import DetectorArchitecture
from overtone.models.detection.operating_point import DetectionPoint


class DetectorAccuracy(Section):
    """Average precisions (fractions) on `n` pictures of `data`, at one quality and operating point.

    Attributes:
        ap50: of the answer after each layer, by COCO's measure.
        mask_ap50: the same of masks; empty if there are none.
        sizes: mean payload bytes of each layer.
        cascade: AP50 of the cascade.
        mask_cascade: the same of masks.
        mean_bytes: mean payload bytes of the cascade.
        escalation_share: share of the pictures of which blocks are asked for.
        block_share: mean share of the pictures' blocks that are asked for.
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
