"""Tables fitted again: the same answers, fewer bytes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.models import CheckpointError, read_card
from overtone.models.checkpoint import CARD_KEY
from overtone.training.codec import refit, tables_for
from overtone.training.data import part


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny one with the classes of the picture folder, and its tables as version 1 had them."""
    with safe_open(tiny_checkpoint, "pt") as file:
        card = json.loads(file.metadata()[CARD_KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    profile = json.loads(card["profile"]) | {"tables": [[[2048, 2048]] * 24] * 3}
    card |= {"profile": json.dumps(profile)}
    card["classes"][:2] = ["cold", "warm"]
    save_file(tensors, tmp_path / "old.safetensors", {CARD_KEY: json.dumps(card)})
    return tmp_path / "old.safetensors"


def test_an_old_checkpoint_is_brought_up_to_date(
    checkpoint: Path, tiny_profile: Profile, picture_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        read_card(checkpoint)
    profile = refit(str(checkpoint), picture_folder, tmp_path / "new.safetensors")
    card = read_card(tmp_path / "new.safetensors")
    assert card.profile == profile
    assert replace(profile, tables=tiny_profile.tables) == tiny_profile
    assert card.accuracy == ()
    assert all(point.mean_bytes is None for point in card.operating_points)
    with safe_open(checkpoint, "pt") as old, safe_open(tmp_path / "new.safetensors", "pt") as new:
        assert set(old.keys()) == set(new.keys())
        assert all((old.get_tensor(k) == new.get_tensor(k)).all() for k in old.keys())  # noqa: SIM118


def test_fitted_tables_beat_made_up_ones(tiny_profile: Profile, picture_folder: Path) -> None:
    p = tiny_profile
    tables = tables_for(part(picture_folder, "train"), p.size, p.steps, p.low, p.high)
    fitted = replace(p, tables=tables)
    rgb = fit(open_rgb(picture_folder / "val" / "warm" / "0.jpg"), p.size)
    assert _bytes(encode(rgb, fitted)) < _bytes(encode(rgb, p))


def _bytes(sent: Encoded) -> int:
    return len(sent.low) + len(sent.high)
