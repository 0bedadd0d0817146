from pathlib import Path

import numpy as np
import pytest
import torch

from overtone.models.detection.detections import Detections
from overtone.training.detection.average_precision import eleven_points, measure
from overtone.training.detection.pictures import Pictures, Things, read_pictures
from tests.training.detection.rectangles import rectangles

BOX = [0.1, 0.1, 0.6, 0.6]
ELSEWHERE = [0.6, 0.6, 0.9, 0.9]


def pictures(*boxes: list[float], crowd: tuple[bool, ...] = (), side: int = 200) -> Pictures:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) * side**2
    marked = np.array(crowd or (False,) * len(boxes), np.bool_)
    things = Things(side, side, corners, np.zeros(len(boxes), np.int64), marked, areas)
    return Pictures((Path("a.jpg"),), (things,), ("thing", "nothing"))


def detections(*boxes: list[float]) -> Detections:
    """The first one is the surest."""
    count = len(boxes)
    corners = torch.tensor(boxes).reshape(-1, 4)
    return Detections(corners, torch.zeros(count, dtype=torch.int64), torch.linspace(0.9, 0.5, count))


def test_what_is_all_right_scores_one() -> None:
    found = measure(pictures(BOX, ELSEWHERE), [detections(BOX, ELSEWHERE)])
    assert (found.n, found.ap, found.ap50, found.ap75, found.voc50) == pytest.approx((1, 1, 1, 1, 1))
    assert (found.ap_small, found.ap_medium, found.ap_large) == pytest.approx((-1, 1, 1))
    assert found.mask_ap is None


def test_half_of_the_things_at_full_precision_are_six_of_eleven_points() -> None:
    found = measure(pictures(BOX, ELSEWHERE), [detections(BOX)])
    assert found.voc50 == pytest.approx(6 / 11)
    assert found.ap50 == pytest.approx(51 / 101)


def test_a_second_detection_of_a_thing_is_wrong() -> None:
    twice = measure(pictures(BOX, ELSEWHERE), [detections(BOX, BOX, ELSEWHERE)])
    assert twice.voc50 == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert twice.ap50 < 1


def test_crowds_are_neither_rewarded_nor_punished() -> None:
    truth = pictures(BOX, ELSEWHERE, crowd=(False, True))
    for found in (detections(BOX), detections(ELSEWHERE, BOX)):
        scores = measure(truth, [found])
        assert (scores.ap50, scores.voc50) == pytest.approx((1, 1))


def test_a_box_that_is_a_little_off_counts_at_low_overlaps_only() -> None:
    scores = measure(pictures(BOX), [detections([0.1, 0.1, 0.6, 0.45])])
    assert (scores.ap50, scores.ap75, scores.voc50) == pytest.approx((1, 0, 1))


def test_nothing_found() -> None:
    scores = measure(pictures(BOX), [detections()])
    assert (scores.ap, scores.ap50, scores.voc50) == (0, 0, 0)


def test_eleven_points_of_a_known_curve() -> None:
    # Recalls 0.5, 0.5, 1 at precisions 1, 1/2, 2/3.
    assert eleven_points(np.array([True, False, True]), 2) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_masks_are_scored_as_masks(tmp_path: Path) -> None:
    truth = read_pictures(rectangles(tmp_path, masks=True), "val")
    right = [
        Detections(
            torch.from_numpy(t.boxes).float(),
            torch.from_numpy(t.labels),
            torch.ones(2),
            torch.ones(2, 28, 28),
        )
        for t in truth.things
    ]
    wrong = [Detections(d.boxes, d.labels, d.scores, torch.zeros(2, 28, 28)) for d in right]
    assert measure(truth, right, masks=True).mask_ap50 == pytest.approx(1)
    scores = measure(truth, wrong, masks=True)
    assert (scores.ap50, scores.mask_ap50) == pytest.approx((1, 0))
