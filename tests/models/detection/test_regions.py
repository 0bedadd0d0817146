import torch

from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt, joined

POINT = DetectionPoint(name="x", unsure=0.2, sure=0.8, margin=0)
LEFT, RIGHT, LOWER = (0.0, 0.0, 0.25, 0.25), (0.5, 0.0, 1.0, 0.25), (0.0, 0.5, 0.25, 1.0)


def detections(*found: tuple[tuple[float, float, float, float], int, float]) -> Detections:
    boxes, labels, scores = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels).long(), torch.tensor(scores))


def test_blocks_are_those_of_boxes_between_the_scores() -> None:
    found = detections((LEFT, 0, 0.9), (RIGHT, 0, 0.5), (LOWER, 1, 0.1))
    blocks = blocks_in_doubt(found, POINT, 8).blocks
    assert blocks[:2, 4:].all()
    assert blocks.sum() == 8
    wider = blocks_in_doubt(found, POINT.model_copy(update={"margin": 1}), 8).blocks
    assert wider[:3, 3:].all()
    assert wider.sum() == 15


def test_nothing_in_doubt_asks_for_no_blocks_unless_all_are_asked_for() -> None:
    found = detections((LEFT, 0, 0.9), (LOWER, 1, 0.1))
    assert not blocks_in_doubt(found, POINT, 8).count
    assert not blocks_in_doubt(detections(), POINT, 8).count
    assert blocks_in_doubt(found, POINT.model_copy(update={"whole": True}), 8).everything


def test_blocks_beside_the_picture_are_not_asked_for() -> None:
    point = POINT.model_copy(update={"margin": 3})
    found = blocks_in_doubt(detections((RIGHT, 0, 0.5)), point, 8, (1.0, 0.25))
    assert found.blocks[:2, 1:].all()
    assert found.count == 14


def test_what_low_was_sure_of_stays() -> None:
    low = detections((LEFT, 0, 0.9), (LOWER, 1, 0.85), (RIGHT, 0, 0.5))
    high = detections((LOWER, 1, 0.95), (RIGHT, 1, 0.7))
    found = joined(low, high, POINT)
    assert found.labels.tolist() == [1, 0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.95, 0.9, 0.7]))
    torch.testing.assert_close(found.boxes, torch.tensor([LOWER, LEFT, RIGHT]))


def test_the_answer_is_highs_alone_where_low_was_sure_of_nothing() -> None:
    high = detections((LOWER, 1, 0.95))
    assert joined(detections((LEFT, 0, 0.7)), high, POINT) is high


def test_masks_go_with_their_boxes() -> None:
    low, high = detections((LEFT, 0, 0.9)), detections((RIGHT, 0, 0.7))
    low, high = (
        Detections(d.boxes, d.labels, d.scores, torch.full((1, 2, 2), v))
        for d, v in ((low, 1.0), (high, 0.0))
    )
    found = joined(low, high, POINT)
    assert found.masks is not None
    assert found.masks[:, 0, 0].tolist() == [1.0, 0.0]
