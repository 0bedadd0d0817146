from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from overtone.benchmarks.codec import regions
from overtone.benchmarks.codec.regions import Cost
from overtone.frequency import THREE_LAYERS, Profile
from overtone.training.detection.pictures import Things, read_pictures
from tests.training.detection.rectangles import rectangles

PROFILE = Profile.uniform(["any"], size=64, steps=(16,), ladder=THREE_LAYERS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("rectangles"))


def test_boxes_are_some_of_the_picture() -> None:
    boxes = np.random.default_rng(0).random((3, 4))
    things = Things(10, 10, boxes, np.zeros(3, np.int64), np.zeros(3, np.bool_), np.ones(3))
    drawn = [regions.some_boxes(things, np.random.default_rng(seed)) for seed in range(20)]
    assert {len(each) for each in drawn} == {1, 2, 3}
    assert all(box.tolist() in boxes.tolist() for each in drawn for box in each)


def test_every_picture_is_encoded_whole_and_in_a_region(data: Path) -> None:
    pictures = read_pictures(data, "val")
    found = regions.costs(pictures, PROFILE, 1, 1, 0)
    assert len(found) == sum(bool(len(t.boxes)) for t in pictures.things)
    assert all(
        0 < cost.share <= cost.shown <= 1 and cost.region < cost.whole + 2 * (cost.mask + 1) + 1
        for cost in found
    )
    assert found == regions.costs(pictures, PROFILE, 1, 1, 0)
    wider = regions.costs(pictures, PROFILE, 1, 1, 2)
    assert all(a.share <= b.share and a.whole == b.whole for a, b in zip(found, wider, strict=True))


def test_a_row_has_means() -> None:
    row = regions.row([Cost(0.2, 0.3, 8, 100, 400), Cost(0.4, 0.5, 10, 200, 600)])
    assert row == ["2", "0.300", "0.400", "9.0", "150", "500", "0.300"]


def test_the_table_is_printed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = type("Card", (), {"profile": PROFILE})
    monkeypatch.setattr("overtone.models.load", lambda _: (None, card))
    app = typer.Typer()
    app.command()(regions.main)
    printed = CliRunner().invoke(
        app, ["--data", str(data), "--size", "64", "--measured", "2", "--after", "2"]
    )
    assert printed.exit_code == 0, printed.output
    assert "bytes of high x1" in " ".join(printed.output.split())
