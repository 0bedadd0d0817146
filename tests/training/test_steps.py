"""`overtone train codec` on the tiny checkpoint: other steps, the same networks, all else decided anew."""

from pathlib import Path

import pytest
from safetensors import safe_open

from overtone.frequency import decode_high, decode_low, encode, fit, open_rgb
from overtone.models import CheckpointError, read_card
from overtone.training.steps import train_codec


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, picture_folder: Path, tmp_path: Path) -> Path:
    """The tiny one with the classes of the picture folder."""
    from overtone.models import load, save

    model, card = load(str(tiny_checkpoint))
    classes = ("cold", "warm", *card.classes[2:])
    save(tmp_path / "one.safetensors", model, card.model_copy(update={"classes": classes}))
    return tmp_path / "one.safetensors"


def test_qualities_for_the_bytes_asked_for(checkpoint: Path, picture_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    card = train_codec(str(checkpoint), picture_folder, out, [900, 100, 300])
    assert read_card(out) == card
    p = card.profile
    assert p.qualities == (1, 2, 3)
    assert len(p.thresholds) == 3
    assert {point.quality for point in card.operating_points} == {1, 2, 3}
    rgb = fit(open_rgb(picture_folder / "val" / "warm" / "0.jpg"), p.size)
    sent = [encode(rgb, p, q) for q in p.qualities]
    sizes = [len(each.low) + len(each.high) for each in sent]
    assert sizes == sorted(sizes), "qualities ascend, whatever the order they were asked in"
    low = decode_low(sent[1].low, p)
    assert decode_high(sent[1].high, low, p).shape == (18, p.blocks, p.blocks)
    with safe_open(checkpoint, "pt") as old, safe_open(out, "pt") as new:
        assert all((old.get_tensor(k) == new.get_tensor(k)).all() for k in old.keys())  # noqa: SIM118


def test_a_bundled_checkpoint_is_not_overwritten(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        train_codec("imagenette", picture_folder, tmp_path / "no" / "file.safetensors", [500])
