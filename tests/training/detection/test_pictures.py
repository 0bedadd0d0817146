import json
from pathlib import Path

import numpy as np
import pytest

from overtone.training.data import DataError
from overtone.training.detection.pictures import bitmap, coco_tools, held_out, read_coco, read_pictures
from tests.training.detection.rectangles import rectangles


def changed(root: Path, **changes: object) -> Path:
    path = root / "val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_boxes_are_fractions_of_their_picture(tmp_path: Path) -> None:
    pictures = read_pictures(rectangles(tmp_path), "val")
    written = json.loads((tmp_path / "val.json").read_text())["annotations"][0]["bbox"]
    first = pictures.things[0]
    assert pictures.classes == ("red", "blue")
    assert (first.width, first.height, first.labels.tolist()) == (48, 64, [0, 1])
    left, top, width, height = written
    np.testing.assert_allclose(first.boxes[0] * (48, 64, 48, 64), (left, top, left + width, top + height))
    assert not pictures.has_masks


def test_ids_may_have_gaps_and_crowds_are_marked(tmp_path: Path) -> None:
    root = rectangles(tmp_path, val=1)
    box = {"image_id": 0, "bbox": [1, 2, 10, 20], "area": 200}
    annotations = [box | {"category_id": 7, "iscrowd": 1}, box | {"category_id": 3}]
    annotations.append(box | {"category_id": 3, "bbox": [1, 2, 0, 20]})
    categories = [{"id": 7, "name": "seven"}, {"id": 3, "name": "three"}]
    found = read_coco(root / "val", changed(root, annotations=annotations, categories=categories))
    assert found.classes == ("three", "seven")
    assert found.things[0].labels.tolist() == [1, 0]
    assert found.things[0].crowd.tolist() == [True, False]


def test_a_tenth_is_held_out_and_the_rest_trained_on(tmp_path: Path) -> None:
    root = rectangles(tmp_path, train=20)
    train, calibration = (read_pictures(root, name) for name in ("train", "calibration"))
    assert (len(train), len(calibration)) == (18, 2)
    assert not set(train.paths) & set(calibration.paths)
    assert held_out(read_coco(root / "train", root / "train.json"))[1].paths == calibration.paths


def test_masks_are_polygons_or_run_lengths() -> None:
    square = np.zeros((6, 8), np.uint8)
    square[1:4, 2:7] = 1
    polygon = [[2.0, 1, 7, 1, 7, 4, 2, 4]]
    compressed = coco_tools("mask").encode(np.asfortranarray(square))
    as_text = compressed | {"counts": compressed["counts"].decode()}
    runs = [0, *np.flatnonzero(np.diff(square.ravel(order="F"))) + 1, square.size]
    plain = {"size": [6, 8], "counts": np.diff(runs).tolist()}
    for segmentation in (polygon, compressed, as_text, plain):
        np.testing.assert_array_equal(bitmap(segmentation, 8, 6), square)


def test_every_thing_has_a_mask_or_none_does(tmp_path: Path) -> None:
    pictures = read_pictures(rectangles(tmp_path, masks=True), "val")
    assert pictures.has_masks
    masks = pictures.things[0].masks()
    assert masks.shape == (2, 64, 48)
    np.testing.assert_allclose(masks.sum(axis=(1, 2)), pictures.things[0].areas)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [], "annotations": []}, "lists no pictures"),
        (
            {"images": [{"id": 0, "file_name": "none.png", "width": 8, "height": 8}], "annotations": []},
            "1 pictures",
        ),
        ({"categories": [{"id": 9, "name": "nine"}]}, "not in COCO's format"),
        ({"annotations": [{"image_id": 0}]}, "not in COCO's format"),
    ],
)
def test_what_is_not_in_cocos_format(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    root = rectangles(tmp_path, val=1)
    with pytest.raises(DataError, match=message):
        read_coco(root / "val", changed(root, **changes))


def test_splits_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"val\.json: no such file"):
        read_pictures(tmp_path, "val")
    with pytest.raises(DataError, match="no split 'test'"):
        read_pictures(tmp_path, "test")
