import numpy as np
import pytest
from pycocotools import mask as coco

from overtone.edge_client import Mask


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 53), (240, 320)])
def test_masks_of_cocos_api_are_read(height: int, width: int, share: float) -> None:
    pixels = np.random.default_rng(0).random((height, width)) < share
    pixels[height // 4 : height // 2, width // 3 :] ^= share > 0
    packed = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    mask = Mask(width, height, packed["counts"])
    assert np.array_equal(mask.pixels(), pixels)
    assert mask.to_json() == {"size": [height, width], "counts": packed["counts"].decode()}


@pytest.mark.parametrize("counts", [b"", b"1", b"5", b"Q", b"0\xff", b"PPPPPPPPPP1", b"O5", "ä".encode()])
def test_damaged_masks_are_refused(counts: bytes) -> None:
    with pytest.raises(ValueError, match="run-lengths"):
        Mask(2, 2, counts).pixels()
