"""The cascade as it is evaluated, against payloads that a device would send and a server decode."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from overtone.frequency import Profile, decode, encode, encode_region, letter_boxed, open_rgb
from overtone.models.detection.checkpoint import load_detector
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.models.detection.regions import blocks_in_doubt, joined
from overtone.training.detection.operating_points import LOW_ALONE, WHOLE
from overtone.training.detection.pictures import Pictures, read_pictures
from overtone.training.detection.predictions import CodedBatch, coded_batches
from overtone.training.detection.region_answers import RegionCascade, measure_points, missed
from tests.models.detection.tiny_detector import SURE, UNSURE
from tests.training.detection.rectangles import rectangles

POINT = DetectionPoint(name="x", unsure=UNSURE, sure=SURE, margin=0)


@pytest.fixture(scope="module")
def detector(tiny_detector: Path) -> Detector:
    return load_detector(tiny_detector)[0]


@pytest.fixture(scope="module")
def profile(tiny_detector: Path) -> Profile:
    return load_detector(tiny_detector)[1].profile


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return read_pictures(rectangles(tmp_path_factory.mktemp("rectangles") / "data", train=1), "val")


@pytest.fixture(scope="module")
def batch(detector: Detector, pictures: Pictures, profile: Profile) -> CodedBatch:
    (found,) = coded_batches(detector, pictures, profile, profile.quality)
    return found


def test_regions_are_answered_as_a_server_answers_them(
    detector: Detector, pictures: Pictures, profile: Profile, batch: CodedBatch
) -> None:
    answers = RegionCascade(detector, profile, profile.quality).answers(batch, [POINT])
    masks = []
    for number, (answer,) in enumerate(answers):
        image = encode(letter_boxed(open_rgb(pictures.paths[number]), profile.size), profile)
        extent = batch.extents[number]
        low = said(detector, image.layers[:1], profile, extent)
        mask = blocks_in_doubt(low, POINT, profile.blocks, (float(extent[0]), float(extent[1])))
        masks.append(mask)
        payloads = encode_region(image, profile, mask).layers if mask.count else image.layers[:1]
        assert answer.sent == sum(map(len, payloads))
        assert answer.share == mask.share
        expected = joined(low, said(detector, payloads, profile, extent), POINT) if mask.count else low
        assert answer.found.labels.tolist() == expected.labels.tolist()
        torch.testing.assert_close(answer.found.scores, expected.scores)
    assert any(0 < mask.share < 1 for mask in masks)


def said(
    detector: Detector, payloads: tuple[bytes, ...], profile: Profile, extent: torch.Tensor
) -> Detections:
    decoded = decode(payloads, profile)
    x = torch.from_numpy(decoded.values * decoded.steps[:, None, None]).float()[None]
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network = detector.low if x.shape[1] == 6 else detector.high
        return network(x, extent[None])[0]


def test_the_ends_of_a_path_are_the_full_answer_and_lows(
    detector: Detector, profile: Profile, batch: CodedBatch
) -> None:
    cascade = RegionCascade(detector, profile, profile.quality)
    for number, (whole, low) in enumerate(cascade.answers(batch, [WHOLE, LOW_ALONE])):
        assert whole.found is batch.found[-1][number]
        assert (whole.sent, whole.share) == (int(batch.sizes[number].sum()), 1.0)
        assert low.found is batch.found[0][number]
        assert (low.sent, low.share) == (int(batch.sizes[number, 0]), 0.0)


def test_what_is_asked_for_more_sparingly_costs_fewer_bytes(
    detector: Detector, profile: Profile, batch: CodedBatch
) -> None:
    shown = [replaced(point, shown=0.34) for point in (WHOLE, POINT, LOW_ALONE)]
    found = measure_points(RegionCascade(detector, profile, profile.quality), [batch], shown)
    assert (found.missed[0] == 0).all()
    assert found.sent[0].sum() > found.sent[1].sum() > found.sent[2].sum()
    assert (found.shares[0] >= found.shares[1]).all()


def replaced(point: DetectionPoint, **changes: object) -> DetectionPoint:
    return point.model_copy(update=changes)


def test_a_thing_is_missed_unless_a_box_of_its_class_overlaps_it() -> None:
    full = Detections(
        torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]]),
        torch.tensor([0, 1, 1]),
        torch.tensor([0.9, 0.8, 0.2]),
    )
    assert missed(full, full, 0.5) == 0
    assert missed(replace(full, labels=torch.tensor([1, 1, 1])), full, 0.5) == 0.5
    assert missed(full.above(0.85), full, 0.5) == 0.5
    assert missed(full.above(NEVER), full, 0.5) == 1
    assert missed(full.above(NEVER), full, 0.95) == 0
