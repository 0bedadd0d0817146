import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overtone.cli import app
from overtone.frequency.channels import COUNT, LOW, SETS
from overtone.training.heatmap import HeatMap
from overtone.training.kinds import ResNet50
from overtone.training.recipe import load_recipe
from overtone.training.select import SelectError, select


def heatmap(**shares: float) -> HeatMap:
    """All closed but `c12=0.5`, ..."""
    opened = [0.0] * COUNT
    for name, share in shares.items():
        opened[int(name[1:])] = share
    return HeatMap(
        cost=0.5, n=10, data="pictures/calibration", size=64, step=4, top1=0.5, mean_open=sum(opened),
        open=tuple(opened),
    )  # fmt: skip


def test_the_most_opened_in_the_order_of_their_indices() -> None:
    chosen = select(heatmap(c130=0.4, c7=0.9, c64=0.8, c20=0.1), count=3)
    assert chosen.channels == (7, 64, 130)
    assert chosen.low == (7, 64, 130)
    assert chosen.high == ()


def test_low_are_the_six_most_opened() -> None:
    shares = {f"c{10 * i}": (19 - i) / 20 for i in range(1, 19)}
    chosen = select(heatmap(**shares), count=10)
    assert chosen.channels == tuple(range(10, 101, 10))
    assert chosen.low == tuple(range(10, 61, 10))
    assert chosen.high == tuple(range(70, 101, 10))


def test_equally_opened_channels_go_by_frequency() -> None:
    assert select(heatmap(), count=6).channels == (0, 1, 8, 64, 65, 128), "Y, Cb, Cr at 0, then at 1"
    everything = select(heatmap(), count=COUNT)
    assert everything.channels == tuple(range(COUNT))
    assert len(everything.low) == len(LOW)


def test_what_it_shares_with_the_papers_sets() -> None:
    found = select(heatmap(c0=1.0, c2=1.0, c191=1.0), count=3)
    assert found.shared() == {6: 1, 24: 2, 32: 2, 48: 2, 64: 2}
    assert "1 of 6, 2 of 24," in found.to_toml()


def test_by_share() -> None:
    found = heatmap(c1=0.5, c2=0.49, c3=0.51)
    assert select(found, share=0.5).channels == (1, 3)
    assert select(found, share=0).channels == tuple(range(COUNT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"count": 3, "share": 0.5}, "either"),
        ({"count": 0}, "from 1 to 192"),
        ({"count": 193}, "from 1 to 192"),
        ({"share": 0.9}, r"no channel .* 50\.0%"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(SelectError, match=message):
        select(heatmap(c1=0.5), **options)  # type: ignore[arg-type]


def test_a_recipe_takes_the_file(tmp_path: Path) -> None:
    heatmap(**{f"c{c}": 0.9 for c in SETS[24]}).write(tmp_path / "heatmap.json")
    out = tmp_path / "mine.toml"
    arguments = ["train", "select", str(tmp_path / "heatmap.json"), "--count", "24", "--out", str(out)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    written = tomllib.loads(out.read_text())
    assert written["name"] == "mine"
    assert tuple(written["channels"]) == SETS[24]
    assert sorted(written["low"] + written["high"]) == sorted(SETS[24])
    assert "pictures/calibration" in written["from"]
    (tmp_path / "recipe.toml").write_text(
        'size = 64\nepochs = [1]\n[network]\nkind = "resnet50"\ninput = "mine.toml"\n'
    )
    network = load_recipe(str(tmp_path / "recipe.toml")).network
    assert isinstance(network, ResNet50)
    assert network.input == SETS[24]


def test_to_standard_output(tmp_path: Path) -> None:
    heatmap(c5=1.0).write(tmp_path / "heatmap.json")
    found = CliRunner().invoke(app, ["train", "select", str(tmp_path / "heatmap.json"), "--share", "0.5"])
    assert found.exit_code == 0
    assert tomllib.loads(found.stdout)["channels"] == [5]


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    heatmap(c5=1.0).write(tmp_path / "heatmap.json")
    found = CliRunner().invoke(app, ["train", "select", str(tmp_path / "heatmap.json")])
    assert found.exit_code == 1
    assert "--count or --share" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
