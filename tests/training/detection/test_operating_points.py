from collections.abc import Sequence

import numpy as np
import pytest
import torch

from overtone.models.detection.detections import Detections
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.training.calibration.risk_targets import RiskTarget, TargetError
from overtone.training.detection.operating_points import (
    LOW_ALONE,
    WHOLE,
    PointCertifier,
    candidates,
    fit_path,
)
from overtone.training.detection.predictions import CodedBatch
from overtone.training.detection.region_answers import PointResults, RegionAnswer


def measured(missed: list[float], sent: list[int], n: int = 100) -> PointResults:
    """The same for every picture."""
    columns = np.repeat(np.array(missed)[:, None], n, axis=1), np.repeat(np.array(sent)[:, None], n, axis=1)
    return PointResults(*columns, shares=(columns[1] > 300).astype(np.float64))


def point(unsure: float) -> DetectionPoint:
    return DetectionPoint(name="x", unsure=unsure)


def test_every_candidate_has_boxes_in_doubt() -> None:
    found = candidates()
    assert len(set(found)) == len(found)
    assert all(each.unsure < each.sure for each in found)


def test_a_path_leads_from_everything_to_low_alone_and_skips_what_is_worse() -> None:
    points = [point(0.1), point(0.2), point(0.3), point(0.4)]
    found = fit_path(points, measured([0.02, 0.03, 0.01, 0.1], [700, 800, 900, 500]))
    assert found == (WHOLE, points[2], points[0], points[3], LOW_ALONE)


def test_points_that_take_more_bytes_than_all_blocks_are_left_out() -> None:
    points = [WHOLE, point(0.1), point(0.2)]
    assert fit_path(points, measured([0.0, 0.01, 0.05], [800, 900, 700])) == (WHOLE, points[2], LOW_ALONE)


class DearInParts:
    """A cascade that sends more bytes for some blocks of a picture than for all of them."""

    def answers(self, batch: CodedBatch, points: Sequence[DetectionPoint]) -> list[list[RegionAnswer]]:
        sent = [1000 if point.whole else 300 if point.unsure == NEVER else 1100 for point in points]
        return [[RegionAnswer(found, each, each / 1100) for each in sent] for found in batch.found[-1]]


def test_a_certifier_has_no_point_that_takes_more_bytes_than_all_blocks() -> None:
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    found = ([nothing] * 6, [nothing] * 6)
    batch = CodedBatch(torch.zeros(6, 1), torch.full((6, 2), 500), torch.ones(6, 2), found)
    made = PointCertifier.of(DearInParts(), [batch], 0.5)  # type: ignore[arg-type]
    assert [point.unsure for point in made.points] == [WHOLE.unsure, LOW_ALONE.unsure]


def certifier(missed: list[float], sent: list[int], n: int = 100) -> PointCertifier:
    points = (WHOLE, *(point(0.1 * i) for i in range(1, len(missed) - 1)), LOW_ALONE)
    return PointCertifier(points, measured(missed, sent, n), 1000.0)


def test_the_cheapest_point_within_the_bound_is_taken() -> None:
    found = certifier([0.0, 0.01, 0.04, 0.2, 0.5], [1000, 800, 600, 500, 300])
    # (4 + 1) / 101 things are missed at most.
    assert found.point_index(RiskTarget("x", 0.049)) == 1
    assert found.point_index(RiskTarget("x", 0.05)) == 2
    assert found.point_index(RiskTarget("x", 0.3)) == 3
    assert found.point_index(RiskTarget("x", 0.3, 0.05)) == 3
    assert found.point_index(RiskTarget("x", 0.1, 0.05)) == 1
    assert found.point_index(RiskTarget("x", share=0.0)) == 4
    assert found.point_index(RiskTarget("x", mean_bytes=610)) == 2
    with pytest.raises(TargetError, match="low alone takes 307 bytes per picture"):
        found.point_index(RiskTarget("x", mean_bytes=200))


def test_a_point_that_happens_to_miss_less_than_the_one_before_is_not_trusted() -> None:
    found = certifier([0.0, 0.2, 0.01, 0.5], [1000, 800, 600, 300])
    assert found.point_index(RiskTarget("x", 0.05)) == 0


def test_too_few_pictures_leave_everything_asked_for() -> None:
    for n in (0, 10):
        assert certifier([0.0, 0.0, 0.0], [1000, 800, 300], n).point_index(RiskTarget("x", 0.05)) == 0
