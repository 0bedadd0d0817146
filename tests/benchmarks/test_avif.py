"""Slower encoding of AVIF: fewer bytes and errors are told from more."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve import avif
from overtone.frequency import fit


def test_curve_climbs_with_quality(photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avif, "QUALITIES", {"avif": (5, 60)})
    coarse, fine = avif.curve([fit(Image.fromarray(photograph), 64)], 9)[0]
    assert 0 < coarse.bytes < fine.bytes
    assert 15 < coarse.top1 < fine.top1 < 60


def test_psnr_is_of_all_channels_together() -> None:
    flat = np.full((8, 8, 3), 100, dtype=np.uint8)
    file = avif._encode(flat, 100, 9)
    off = flat.copy()
    off[..., 0] += 30
    # A third of the values is off by 30.
    assert avif._psnr(off, file) == pytest.approx(10 * np.log10(255**2 / 300), abs=0.3)
