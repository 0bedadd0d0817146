from pathlib import Path

import pytest

from overtone.frequency.channels import SETS
from overtone.training.data import Augmentation
from overtone.training.kinds import CascadeNetwork, ResNet50, channels_of
from overtone.training.recipe import RECIPES, Optimiser, Recipe, RecipeError, known, load_recipe
from overtone.training.systems import build

EVERY = [path.relative_to(RECIPES).with_suffix("").as_posix() for path in sorted(RECIPES.rglob("*.toml"))]


@pytest.mark.parametrize("name", EVERY)
def test_recipes_that_come_with_it(name: str) -> None:
    recipe = load_recipe(name)
    # Further cycles of a checkpoint make the same checkpoint.
    assert recipe.name == name.replace("/", "-").removesuffix("-again").removesuffix("-tuned")
    assert (RECIPES / f"{name}.toml").read_text("utf-8").startswith("# "), "says what it is"


def test_every_experiment_stands_for_a_gpu_and_for_two_cores() -> None:
    names = set(known())
    small = {name.removeprefix("small/") for name in names if name.startswith("small/")}
    report = {name.removeprefix("report-") for name in names if name.startswith("report-")}
    assert small - {"structure-3"} == report, "report itself is structure 3"
    assert "base" not in small


def test_the_reports_recipe() -> None:
    for name in ("report", "report-rgb", "report-structure-2-cat-012"):
        o = load_recipe(name).optimiser
        assert (o.lr, o.momentum, o.weight_decay, o.batch, o.warmup) == (0.5, 0.9, 1e-4, 128, 5)
    assert load_recipe("report").epochs == (90, 90)
    assert load_recipe("report-frequency-24").epochs == (90,)
    assert load_recipe("report-structure-2-cat-012").network.stages == (0, 1, 2)  # type: ignore[union-attr]


def test_progressive_sizes() -> None:
    recipe = Recipe(name="x", size=224, progressive=((0.4, 160), (0.7, 192)))
    assert [recipe.size_at(p) for p in (0, 0.39, 0.4, 0.7, 0.99)] == [160, 160, 192, 224, 224]


def test_rate_warms_up_and_falls_to_nothing() -> None:
    o = Optimiser(lr=0.4, warmup=2)
    assert 0 < o.rate(0, 10) < o.rate(1, 10) < o.rate(2, 10) == 0.4
    assert o.rate(6, 10) == pytest.approx(0.2)
    assert o.rate(10, 10) == pytest.approx(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 100", "r.toml: size: 100 is not a multiple of 8"),
        ("[quality]\nsteps = [16, 32]", "coarse to fine"),
        ("[optimizer]", "optimizer"),
        ("[augment]\nscales = [1, 1]", "augment.scales"),
        ("size =", "Invalid"),
        ("epochs = [3]", "cascade is trained in 2 step"),
        ("epochs = [3, 3]\n[network]\nkind = 'resnet50'\ninput = 24", "resnet50 is trained in 1 step"),
        ("[network]\nkind = 'resnet51'", "resnet51"),
        ("[network]\nkind = 'resnet50'\ninput = 25", "named set"),
        ("[network]\nkind = 'resnet50'\ninput = [0, 0]", "twice"),
        ("[network]\nkind = 'resnet50'\ninput = [0, 192]", "0 to 191"),
        ("[network]\nkind = 'resnet50'\ninput = 'none.toml'", "no file of channels"),
        ("epochs = [1]\n[network]\nkind = 'gate'\ncost = 1\n[optimiser]\ndistil = 0.5", "structure 3"),
        ("[optimiser]\nbatch = 2\naccumulate = 3", "3 parts"),
        ("extends = 'r'", "extends itself"),
        ("extends = 'none'", "'none'"),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'name = "r"\n{text}\n')
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(RecipeError, match="small/rgb"):
        load_recipe("nothing")


def test_extends_merges_tables_and_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('name = "first"\nsize = 64\n[optimiser]\nlr = 0.1\nbatch = 8\n')
    (tmp_path / "b.toml").write_text('extends = "a"\n[optimiser]\nbatch = 16\n')
    (tmp_path / "c.toml").write_text('extends = "b"\n[network]\nstructure = 1\n')
    recipe = load_recipe(str(tmp_path / "c.toml"))
    assert (recipe.name, recipe.size) == ("c", 64)
    assert (recipe.optimiser.lr, recipe.optimiser.batch) == (0.1, 16)
    assert recipe.network == CascadeNetwork(structure=1)


def test_a_circle_of_recipes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b"')
    (tmp_path / "b.toml").write_text('extends = "a"')
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(str(tmp_path / "a.toml"))


def test_channels_come_from_a_set_a_list_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "chosen.toml").write_text("channels = [0, 8, 64]")
    found = {}
    for text in ("24", "[5, 3]", '"rgb"', '"chosen.toml"'):
        path = tmp_path / "r.toml"
        path.write_text(f'epochs = [1]\n[network]\nkind = "resnet50"\ninput = {text}\n')
        network = load_recipe(str(path)).network
        assert isinstance(network, ResNet50)
        found[text] = channels_of(network.input)
    assert list(found.values()) == [SETS[24], (5, 3), None, (0, 8, 64)]


def test_a_recipe_survives_its_json() -> None:
    for name in ("small/gate", "report-rgb", "imagenette-again", "small/structure-2-add"):
        recipe = load_recipe(name)
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_augmentation_is_the_recipes_own() -> None:
    assert load_recipe("small/rgb").augment == Augmentation(scale=(0.25, 1.0))


def test_widths_of_the_small_ones() -> None:
    def features(name: str) -> int:
        module = build(load_recipe(name), 10).module
        return {k: v.shape[1] for k, v in module.named_parameters() if k.endswith("linear.weight")}.popitem()[
            1
        ]

    assert features("small/frequency-6") == 512
    assert features("small/half-24") == 256
    assert features("small/structure-3") == 256


def test_a_mobilenet_needs_a_map_to_look_at(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\nsize = 128\nepochs = [1]\n[network]\nkind = "mobilenetv2"\ninput = 24\n')
    with pytest.raises(RecipeError, match="more than 128"):
        load_recipe(str(path))
