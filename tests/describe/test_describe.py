import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from overtone.cli import app
from overtone.describe.description import Description, describe, describe_image
from overtone.describe.figure import draw
from overtone.frequency import THREE_LAYERS, Profile, decode, dequantise, encode, fit, image, open_rgb
from overtone.frequency.channels import LOW
from overtone.models import OperatingPoint, read_card, rewrite
from tests.ladders import with_ladder

runner = CliRunner()


@pytest.fixture
def shot(tmp_path: Path, photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image file in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph).save("shot.png")
    return Path("shot.png")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's figure takes a second, and other tests have drawn it."""
    monkeypatch.setattr("overtone.describe.figure.draw", lambda *_: None)


@pytest.fixture(scope="module")
def three_layers(tiny_profile: Profile) -> Profile:
    return with_ladder(tiny_profile, THREE_LAYERS)


@pytest.fixture(scope="module", params=["two layers", "three layers"])
def profile(request: pytest.FixtureRequest, tiny_profile: Profile, three_layers: Profile) -> Profile:
    return tiny_profile if request.param == "two layers" else three_layers


@pytest.fixture(scope="module")
def described(photograph: NDArray[np.uint8], profile: Profile) -> Description:
    return describe(fit(open_rgb(photograph), 64), profile, 2)


def test_header_channels_and_final_state_add_up_to_the_payload(described: Description) -> None:
    for number, payload in enumerate(described.layers):
        channels = sum(c.layer_bits[number] for c in described.channels)
        assert channels == pytest.approx(payload.channel_bits)
        assert all(c.band == payload.band for c in described.channels if c.layer_bits[number])
        whole = 8 * payload.header_bytes + channels + payload.end_bits
        assert whole == pytest.approx(8 * payload.payload_bytes)
        assert 15 <= payload.end_bits < 33


def test_it_describes_the_payloads_that_are_sent(
    described: Description, photograph: NDArray[np.uint8], profile: Profile
) -> None:
    rgb = fit(open_rgb(photograph), 64)
    sent = encode(rgb, profile, 2)
    assert described.payload_bytes[-1] == sent.size
    assert [layer.payload_bytes for layer in described.layers] == [len(payload) for payload in sent.layers]
    first = decode(sent.layers[:1], profile)
    assert (described.seen[0] == image(dequantise(first.values, first.steps), LOW)).all()
    errors = [float(np.mean((seen.astype(float) - rgb) ** 2)) for seen in described.seen]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == len(profile.ladder)


def test_channels_are_named_and_measured(described: Description) -> None:
    labels = [c.label for c in described.channels]
    assert labels[:6] == ["Y 0,0", "Y 0,1", "Y 1,0", "Y 1,1", "Cb 0,0", "Cr 0,0"]
    assert labels[-3:] == ["Cr 0,1", "Cr 1,0", "Cr 1,1"]
    assert len(set(labels)) == 24
    for channel in described.channels:
        assert 0 <= channel.lost <= channel.energy + 1
        assert channel.values or max(channel.layer_bits) < 8
        assert channel.values or channel.lost == pytest.approx(channel.energy)


@pytest.mark.parametrize("qualities", [(1,), (1, 2, 3)])
def test_a_flat_image_is_drawn_too(qualities: tuple[int, ...], tmp_path: Path, profile: Profile) -> None:
    found = describe_image(Image.new("RGB", (64, 64), (128, 128, 128)), profile, qualities)
    assert max(c.energy for c in found.descriptions[0].channels) < 1
    draw("grey", found, tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as drawn:
        assert min(drawn.size) > 500


def test_the_command_prints_and_draws(shot: Path, tiny_checkpoint: Path) -> None:
    command = ["describe", str(shot), "--model", str(tiny_checkpoint)]
    found = runner.invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "Cr 1,1" in found.stdout
    assert found.stdout.splitlines()[-1] == "shot.describe.png"
    assert Path("shot.describe.png").read_bytes().startswith(b"\x89PNG")
    again = runner.invoke(app, [*command, "--every-quality"])
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[-1] == "shot.describe.png (overwritten)"
    for heading in ("quality 1", "quality 2", "quality 3"):
        assert heading in again.stdout


@pytest.mark.usefixtures("undrawn")
def test_three_layers_are_printed(
    shot: Path, tiny_checkpoint: Path, three_layers: Profile, tmp_path: Path
) -> None:
    card = read_card(tiny_checkpoint)
    points = (OperatingPoint(name="default", thresholds=(0.5, 0.5)),)
    changed = {"profile": three_layers, "temperatures": (1.0,) * 3, "operating_points": points}
    rewrite(tiny_checkpoint, card.model_copy(update=changed), tmp_path / "three.safetensors")
    command = ["describe", str(shot), "--model", "three.safetensors"]
    found = runner.invoke(app, command)
    assert found.exit_code == 0, found.output
    for heading in ("low x3", "+ low", "+ high"):
        assert heading in found.stdout
    several = runner.invoke(app, [*command, "--every-quality"])
    assert several.exit_code == 0, several.output
    assert several.stdout.count("low x3") == 3


@pytest.mark.usefixtures("undrawn")
def test_json_is_one_object(shot: Path, tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    command = ["describe", str(shot), "--model", str(tiny_checkpoint), "--quality", "3", "--json"]
    found = runner.invoke(app, command)
    assert found.exit_code == 0, found.output
    assert found.stdout.count("\n") == 1
    printed = json.loads(found.stdout)
    assert list(printed) == ["path", "model", "profile", "size", "jpeg_bytes", "out", "qualities"]
    assert (printed["profile"], printed["size"]) == (tiny_profile.id.hex(), 64)
    assert printed["jpeg_bytes"]["low"] < printed["jpeg_bytes"]["both"] < printed["jpeg_bytes"]["original"]
    (quality,) = printed["qualities"]
    assert list(quality) == ["quality", "layers", "channels"]
    assert [layer["band"] for layer in quality["layers"]] == ["low", "high"]
    for channel in quality["channels"]:
        assert channel["bits"] == pytest.approx(sum(channel["layer_bits"]))
    assert quality["quality"] == 3
    assert [c["band"] for c in quality["channels"]] == ["low"] * 6 + ["high"] * 18


def test_a_misspelt_file_name_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from overtone.cli import app; app(['describe', 'nowhere.jpg'], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "no such file" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "no such file"),
        (["."], ".: a folder; give one image"),
        (["notes.txt"], "not an image"),
        (["shot.png", "--quality", "9"], "no quality 9"),
        (["shot.png", "--quality", "1", "--every-quality"], "not both"),
        (["shot.png", "--out", "shot.jpg"], "ends in .png"),
        (["shot.png", "--out", "nowhere/shot.png"], "no such folder"),
        (["shot.png", "--out", "shot.png"], "the image itself"),
        (["shot.png", "--model", "nowhere"], "no such checkpoint"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    arguments: list[str], message: str, shot: Path, tiny_checkpoint: Path
) -> None:
    Path("notes.txt").write_text("hello")
    before = shot.read_bytes()
    found = runner.invoke(app, ["describe", "--model", str(tiny_checkpoint), *arguments])
    assert found.exit_code == 1
    assert message in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["notes.txt", "shot.png"]
    assert shot.read_bytes() == before
