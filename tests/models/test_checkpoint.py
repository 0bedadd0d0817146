from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models import CardError, Cascade, CheckpointError, load, read_card, save


def test_round_trip(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, card = load(tiny_checkpoint)
    again = tmp_path / "again.safetensors"
    save(again, model, card)
    second, second_card = load(again)
    assert second_card == card
    assert second_card.profile.id == card.profile.id
    for key, value in model.state_dict().items():
        torch.testing.assert_close(second.state_dict()[key], value, rtol=0, atol=0)
    assert not model.training
    assert again.stat().st_mode & 0o777 == 0o644


def test_half_precision_changes_answers_little(tmp_path: Path, tiny_checkpoint: Path) -> None:
    _, card = load(tiny_checkpoint)
    torch.manual_seed(1)
    model = Cascade(card.architecture).eval()
    path = tmp_path / "half.safetensors"
    save(path, model, card)
    x = torch.randn(4, 6, 8, 8) * 100
    torch.testing.assert_close(load(path)[0].low(x)[0], model.low(x)[0], rtol=0.02, atol=0.02)


def test_operating_points(tiny_checkpoint: Path) -> None:
    card = read_card(tiny_checkpoint)
    assert card.threshold() == 0.5
    assert card.threshold("always") == 0.0
    with pytest.raises(CardError, match="'always', 'never', 'default'"):
        card.threshold("sometimes")


def test_missing_file_names_the_bundled_ones() -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load("nowhere")


def test_not_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"\x80\x04not a checkpoint" * 10)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(path)


def test_without_card(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no card"):
        load(path)


def test_card_that_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"card": '{"name": 3}'})
    with pytest.raises(CheckpointError, match="card is not valid"):
        load(path)


def test_weights_that_do_not_fit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"card": read_card(tiny_checkpoint).to_json()})
    with pytest.raises(CheckpointError, match="do not fit"):
        load(path)
