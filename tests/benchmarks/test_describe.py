import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from overtone.benchmarks.codec.description import Description, Part, describe, portray
from overtone.benchmarks.codec.draw_description import draw
from overtone.cli import app
from overtone.frequency import Profile, decode_low, dequantise, encode, fit, image, open_rgb
from overtone.frequency.channels import LOW

runner = CliRunner()


@pytest.fixture
def shot(tmp_path: Path, photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture file in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph).save("shot.png")
    return Path("shot.png")


@pytest.fixture(scope="module")
def described(photograph: NDArray[np.uint8], tiny_profile: Profile) -> Description:
    return describe(fit(open_rgb(photograph), 64), tiny_profile, 2)


def of_band(found: Description, band: str) -> Part:
    return found.low if band == "low" else found.high


@pytest.mark.parametrize("band", ["low", "high"])
def test_header_channels_and_end_are_the_payload(described: Description, band: str) -> None:
    part = of_band(described, band)
    channels = sum(c.bits for c in described.channels if c.band == band)
    assert channels == pytest.approx(part.channel_bits)
    assert 8 * part.header_bytes + channels + part.end_bits == pytest.approx(8 * part.payload_bytes)
    assert 15 <= part.end_bits < 33


def test_it_is_of_the_payloads_that_are_sent(
    described: Description, photograph: NDArray[np.uint8], tiny_profile: Profile
) -> None:
    sent = encode(fit(open_rgb(photograph), 64), tiny_profile, 2)
    assert described.payload_bytes == (len(sent.low), len(sent.low) + len(sent.high))
    heard = dequantise(decode_low(sent.low, tiny_profile), tiny_profile.low_steps(2))
    assert (described.seen[0] == image(heard, LOW)).all()


def test_channels_are_named_and_measured(described: Description) -> None:
    labels = [c.label for c in described.channels]
    assert labels[:6] == ["Y 0,0", "Y 0,1", "Y 1,0", "Y 1,1", "Cb 0,0", "Cr 0,0"]
    assert labels[-3:] == ["Cr 0,1", "Cr 1,0", "Cr 1,1"]
    assert len(set(labels)) == 24
    for channel in described.channels:
        assert 0 <= channel.lost <= channel.energy + 1
        assert channel.values or channel.bits < 8
        assert channel.values or channel.lost == pytest.approx(channel.energy)


def test_high_brings_the_picture_nearer(described: Description, photograph: NDArray[np.uint8]) -> None:
    original = fit(open_rgb(photograph), 64).astype(float)
    low, both = (np.mean((seen - original) ** 2) for seen in described.seen)
    assert both < low


@pytest.mark.parametrize("qualities", [(1,), (1, 2, 3)])
def test_a_flat_picture_is_drawn_too(
    qualities: tuple[int, ...], tmp_path: Path, tiny_profile: Profile
) -> None:
    found = portray(Image.new("RGB", (64, 64), (128, 128, 128)), tiny_profile, qualities)
    assert max(c.energy for c in found.descriptions[0].channels) < 1
    draw("grey", found, tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as drawn:
        assert min(drawn.size) > 500


def test_it_prints_and_draws(shot: Path, tiny_checkpoint: Path) -> None:
    command = ["describe", str(shot), "--model", str(tiny_checkpoint)]
    found = runner.invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "Cr 1,1" in found.stdout
    assert found.stdout.splitlines()[-1] == "shot.describe.png"
    assert Path("shot.describe.png").read_bytes().startswith(b"\x89PNG")
    again = runner.invoke(app, [*command, "--every-quality"])
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[-1] == "shot.describe.png (written over)"
    for heading in ("quality 1", "quality 2", "quality 3"):
        assert heading in again.stdout


def test_json_is_one_object(shot: Path, tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    found = runner.invoke(
        app, ["describe", str(shot), "--model", str(tiny_checkpoint), "--quality", "3", "--json"]
    )
    assert found.exit_code == 0, found.output
    assert found.stdout.count("\n") == 1
    printed = json.loads(found.stdout)
    assert list(printed) == ["path", "model", "profile", "size", "jpeg_bytes", "out", "qualities"]
    assert (printed["profile"], printed["size"]) == (tiny_profile.id.hex(), 64)
    assert printed["jpeg_bytes"]["low"] < printed["jpeg_bytes"]["both"] < printed["jpeg_bytes"]["original"]
    (quality,) = printed["qualities"]
    assert list(quality) == ["quality", "low", "high", "channels"]
    assert quality["quality"] == 3
    assert [c["band"] for c in quality["channels"]] == ["low"] * 6 + ["high"] * 18


def test_a_misspelt_picture_does_not_wait_for_torch(tmp_path: Path) -> None:
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
        (["."], ".: a folder; give one picture"),
        (["notes.txt"], "not an image"),
        (["shot.png", "--quality", "9"], "no quality 9"),
        (["shot.png", "--quality", "1", "--every-quality"], "not both"),
        (["shot.png", "--out", "shot.jpg"], "ends in .png"),
        (["shot.png", "--out", "nowhere/shot.png"], "no such folder"),
        (["shot.png", "--out", "shot.png"], "the picture itself"),
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
