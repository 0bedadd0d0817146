from pathlib import Path

import torch

from overtone.frequency import open_rgb
from overtone.training.compression import Compression
from overtone.training.data.cache import open_source
from overtone.training.detection.batches import SceneSet
from overtone.training.detection.pictures import read_pictures
from tests.training.detection.rectangles import rectangles
from tests.training.detection.tiny_recipe import STILL


def test_a_scene_is_seen_as_a_codec_leaves_it(tmp_path: Path) -> None:
    pictures = read_pictures(rectangles(tmp_path / "data", train=2), "val")
    assert open_rgb(pictures.paths[0]).size == (48, 64)
    source = open_source(pictures.images, 64)
    coarse = Compression(qualities={"jpeg": (5, 5)}, sides=(16,))
    (exact, boxes), (seen, same), (again, _) = (
        SceneSet(pictures, source, STILL, compression=compression)[0, 64, 7]
        for compression in (None, coarse, coarse)
    )
    assert torch.equal(seen, again)
    assert torch.equal(boxes.boxes, same.boxes)
    assert seen.shape == exact.shape == (3, 64, 64)
    assert 2 < (seen.float() - exact.float()).abs().mean() < 60
