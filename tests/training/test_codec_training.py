"""`overtone train codec` on the tiny checkpoint: other steps, the same networks, all else decided anew."""

from pathlib import Path

import pytest
from safetensors import safe_open

from overtone.frequency import decode, encode, fit, open_rgb
from overtone.models import CheckpointError, read_card
from overtone.training.codec.codec_training import train_codec


def test_qualities_for_the_bytes_asked_for(two_class_checkpoint: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    card = train_codec(str(two_class_checkpoint), images, out, [400, 100])
    assert read_card(out) == card
    p = card.profile
    assert p.qualities == (1, 2)
    assert len(p.thresholds) == 2
    assert {point.quality for point in card.operating_points} == {1, 2}
    rgb = fit(open_rgb(images / "val" / "warm" / "0.jpg"), p.size)
    sent = [encode(rgb, p, q) for q in p.qualities]
    sizes = [each.size for each in sent]
    assert sizes == sorted(sizes), "qualities ascend, in whatever order they were asked for"
    assert decode(sent[1].layers, p).values.shape == (24, p.blocks, p.blocks)
    with safe_open(two_class_checkpoint, "pt") as old, safe_open(out, "pt") as new:
        assert all((old.get_tensor(k) == new.get_tensor(k)).all() for k in old.keys())  # noqa: SIM118
    # What was found is not searched for again.
    out.unlink()
    assert train_codec(str(two_class_checkpoint), images, out, [400, 100]) == card


def test_a_file_that_cannot_be_written(images: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        train_codec("imagenette", images, tmp_path / "no" / "file.safetensors", [500])
