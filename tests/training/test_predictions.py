"""Predictions are what device and server would get: payloads, decoded layer by layer, through the networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from overtone.frequency import (
    THREE_LAYERS,
    TWO_LAYERS,
    Layer,
    Profile,
    decode,
    dequantise,
    encode,
    fit,
    open_rgb,
)
from overtone.models import Architecture, Mix, ResNetCascade, load
from overtone.training.data import Images, read_split
from overtone.training.evaluation.predictions import answers, predict

FOUR_LAYERS = (Layer("low", 3), Layer("high", 3), Layer("low", 1), Layer("high", 1))
FIVE_LAYERS = (Layer("low", 9), Layer("low", 3), Layer("high", 9), Layer("low", 1), Layer("high", 1))
LADDERS = {"two": TWO_LAYERS, "three": THREE_LAYERS, "four": FOUR_LAYERS, "five": FIVE_LAYERS}


def network(structure: int) -> ResNetCascade:
    torch.manual_seed(structure)
    architecture = Architecture.model_validate(
        {"classes": 10, "structure": structure, "low_width": 1 / 16, "high_width": 1 / 16, "stem": 8}
        | {"layers": (1, 1, 1, 1)}
    )
    model = ResNetCascade(architecture).eval()
    for module in model.modules():
        # Scales that begin at zero would hide what the input says.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    for norm in (model.low_norm, model.high_norm):
        norm.std.fill_(30)
    for head in (model.low_head, model.high_head):
        torch.nn.init.normal_(head.linear.weight)
    return model


def restored(payloads: tuple[bytes, ...], profile: Profile) -> tuple[torch.Tensor, torch.Tensor]:
    """Low and high coefficients [1, C, h, w] as a server has them."""
    found = decode(payloads, profile)
    x = torch.from_numpy(dequantise(found.values, found.steps))[None]
    low, high = x.tensor_split([len(profile.low)], dim=1)
    return low, high


@pytest.fixture
def images(labelled_folder: Path, tiny_profile: Profile) -> Images:
    return read_split(labelled_folder, "val", tiny_profile.labels, tiny_profile.labels)


@pytest.mark.parametrize("ladder", LADDERS.values(), ids=LADDERS)
@pytest.mark.parametrize("structure", [1, 3])
@torch.inference_mode()
def test_answers_after_every_layer(
    ladder: tuple[Layer, ...], structure: int, tiny_profile: Profile, images: Images
) -> None:
    profile, model = replace(tiny_profile, ladder=ladder, thresholds=(60, 60, 60)), network(structure)
    p = predict(model, images, profile, 3, batch=3)
    assert p.logits.shape == (len(ladder), 4, 10)
    assert p.low_layers == next(i for i, layer in enumerate(ladder) if layer.band == "high")
    for number, path in enumerate(images.paths):
        sent = encode(fit(open_rgb(path), profile.size), profile, 3)
        assert p.sizes[:, number].tolist() == [len(payload) for payload in sent.layers]
        for count in range(1, len(ladder) + 1):
            low, high = restored(sent.layers[:count], profile)
            expected = model(low, high) if high.shape[1] else model.low(low)[0]
            torch.testing.assert_close(
                torch.from_numpy(p.logits[count - 1, number]), expected[0].double(), rtol=1e-3, atol=1e-3
            )
    assert p.targets.tolist() == list(images.targets)


def test_coarser_values_are_other_answers(tiny_profile: Profile, images: Images) -> None:
    p = predict(network(3), images, replace(tiny_profile, ladder=THREE_LAYERS), 1)
    two = predict(network(3), images, tiny_profile, 1)
    assert np.abs(p.logits[0] - p.logits[1]).max() > 0.05
    np.testing.assert_allclose(p.logits[1:], two.logits, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_mix_takes_the_last_answer_of_low(tiny_profile: Profile, images: Images) -> None:
    profile, model = replace(tiny_profile, ladder=FIVE_LAYERS), network(3)
    plain = predict(model, images, profile, 2)
    model.mix = Mix(low=0.3, high=0.8)
    mixed = predict(model, images, profile, 2)
    np.testing.assert_allclose(mixed.logits[:2], plain.logits[:2])
    expected = 0.3 * plain.logits[1] + 0.8 * plain.logits[2:]
    np.testing.assert_allclose(mixed.logits[2:], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ladder", "lows", "highs"), [(TWO_LAYERS, 1, 1), (THREE_LAYERS, 2, 1), (FOUR_LAYERS, 1, 3)]
)
def test_networks_run_once_a_layer(
    ladder: tuple[Layer, ...],
    lows: int,
    highs: int,
    tiny_checkpoint: Path,
    tiny_profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = load(tiny_checkpoint)
    ran: list[str] = []

    def counted(name: str) -> Callable[..., object]:
        method = getattr(model, name)

        def run(*arguments: object) -> object:
            ran.append(name)
            return method(*arguments)

        return run

    for name in ("low", "high"):
        monkeypatch.setattr(model, name, counted(name))
    values: NDArray[np.int16] = np.random.default_rng(0).integers(-9, 9, (2, 24, 8, 8)).astype(np.int16)
    with torch.inference_mode():
        answers(model, torch.from_numpy(values), replace(tiny_profile, ladder=ladder), 2)
    assert (ran.count("low"), ran.count("high")) == (lows, highs)
