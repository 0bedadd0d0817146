from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from overtone.models import (
    Accuracy,
    Card,
    CardError,
    CheckpointError,
    Mix,
    OperatingPoint,
    ResNetCascade,
    build,
    load,
    read_card,
    rewrite,
    save,
)


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
    model = build(card.architecture).eval()
    path = tmp_path / "half.safetensors"
    save(path, model, card)
    x = torch.randn(4, 6, 8, 8) * 100
    torch.testing.assert_close(load(path)[0].low(x)[0], model.low(x)[0], rtol=0.02, atol=0.02)


def test_operating_points(tiny_checkpoint: Path) -> None:
    card = read_card(tiny_checkpoint)
    assert card.point().thresholds[0] == 0.5
    assert card.point("always").thresholds == (0.0,)
    with pytest.raises(CardError, match="'always', 'never', 'default'"):
        card.point("sometimes")


def test_what_is_no_checkpoint_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such checkpoint; give .*'imagenette'"):
        load("nowhere")
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(b"\x80\x04not a checkpoint" * 10)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(path)
    cards: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "no card"),
        ({"card": '{"name": 3}'}, "card is not valid: name: Input should be a valid string; profile"),
        ({"card": read_card(tiny_checkpoint).to_json()}, "do not fit"),
    )
    for metadata, message in cards:
        save_file({"x": torch.zeros(1)}, path, metadata)
        with pytest.raises(CheckpointError, match=message):
            load(path)


def certificate(card: Card, **changes: object) -> OperatingPoint:
    made = {
        "name": "default",
        "thresholds": (0.7,),
        "method": "risk control",
        "alpha": 0.01,
        "n": 500,
        "k": 3,
        "quality": card.profile.quality,
        "profile": card.profile.id.hex(),
    }
    return OperatingPoint.model_validate(made | changes)


def test_certificates_go_with_the_card(tiny_checkpoint: Path, tmp_path: Path) -> None:
    _, card = load(tiny_checkpoint)
    points = (certificate(card), certificate(card, quality=3, thresholds=(0.9,)))
    changed = card.model_copy(update={"operating_points": points, "mix": Mix(low=0.3, high=0.8)})
    rewrite(tiny_checkpoint, changed, tmp_path / "again.safetensors")
    model, again = load(tmp_path / "again.safetensors")
    assert again == changed
    assert model.mix == Mix(low=0.3, high=0.8)
    assert again.certified() == {"default": (2, 3)}


def test_only_an_empty_rule_is_ignored() -> None:
    """The bundled cards have an empty `rule` in every point; a rule that decides would have to be obeyed."""
    assert OperatingPoint.model_validate({"name": "x", "threshold": 0.5, "rule": None}).thresholds == (0.5,)
    with pytest.raises(ValueError, match="rule"):
        OperatingPoint.model_validate({"name": "x", "threshold": 0.5, "rule": {"price": 1}})


def test_accuracy_of_two_layers_as_it_was_written() -> None:
    old = {"data": "x/val", "n": 9, "quality": 3, "threshold": 0.8, "low": 0.7, "both": 0.9, "cascade": 0.85}
    sizes = {"exit_share": 0.75, "low_bytes": 400.0, "high_bytes": 200.0, "mean_bytes": 450.0}
    found = Accuracy.model_validate(old | sizes)
    assert (found.thresholds, found.top1, found.sizes) == ((0.8,), (0.7, 0.9), (400.0, 200.0))
    assert (found.shares, found.cascade, found.mean_bytes) == ((0.75, 0.25), 0.85, 450.0)
    assert Accuracy.model_validate_json(found.model_dump_json()) == found


def test_certificates_of_another_profile_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, card = load(tiny_checkpoint)
    other = card.model_copy(update={"operating_points": (certificate(card, profile="00c0ffee"),)})
    path = tmp_path / "stale.safetensors"
    save(path, model, other)
    with pytest.raises(CheckpointError, match=r"00c0ffee.*run `overtone calibrate` again") as failure:
        load(path)
    assert "\n" not in str(failure.value)
    with pytest.raises(CardError, match="default are certified for profile 00c0ffee"):
        other.check()
    # Certifying again requires reading it.
    assert read_card(path, stale=True) == other
    load(path, stale=True)


def test_a_point_is_chosen_by_quality(tiny_checkpoint: Path) -> None:
    card = read_card(tiny_checkpoint)
    points = (
        certificate(card, quality=1, thresholds=(0.9,)),
        certificate(card, thresholds=(0.8,)),
        certificate(card, name="old", quality=None, profile=None, method=None),
    )
    card = card.model_copy(update={"operating_points": points})
    assert card.point().thresholds[0] == 0.8
    assert card.point("default", 1).thresholds == (0.9,)
    # Nothing is certified at quality 3: the default quality's threshold, without its guarantee.
    assert card.point("default", 3).thresholds == (0.8,)
    assert card.point("old", 3).thresholds == (0.7,)
    assert card.certified() == {"default": (1, 2), "old": ()}


def test_rewriting_leaves_the_weights_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, card = load(tiny_checkpoint)
    exact = tmp_path / "exact.safetensors"
    assert isinstance(model, ResNetCascade)
    torch.nn.init.normal_(model.low_head.linear.weight)
    save(exact, model, card, half=False)
    rewrite(exact, card.model_copy(update={"name": "new"}), exact)
    again, new = load(exact)
    assert new.name == "new"
    assert isinstance(again, ResNetCascade)
    assert torch.equal(again.low_head.linear.weight, model.low_head.linear.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["exact.safetensors"]


def test_damaged_weights_are_found(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """One bit, of the last weight: the file is still a valid safetensors file."""
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(tiny_checkpoint.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert read_card(damaged) == read_card(tiny_checkpoint)
    for use in (load, lambda path: rewrite(path, read_card(path), tmp_path / "again.safetensors")):
        with pytest.raises(CheckpointError, match="its weights are damaged"):
            use(damaged)


def test_a_file_without_a_digest_is_loaded_and_rewriting_adds_one(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    card, path = read_card(tiny_checkpoint), tmp_path / "old.safetensors"
    with safe_open(tiny_checkpoint, "pt") as file:
        save_file({key: file.get_tensor(key) for key in file.keys()}, path, {"card": card.to_json()})  # noqa: SIM118
    load(path)
    rewrite(path, card, path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["weights"].startswith("sha256:")
    assert load(path)[1] == card
