from pathlib import Path

import pytest

from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep.plan import PLANS, Plan, PlanError, Point, read
from overtone.link.radio import Radio

PLAN = """
title = "Of a test"
[[grid]]
name = "links"
links = ["lte-m", "3g"]
policies = ["on_demand", "at_once"]
kinds = ["session", "one-shot"]
qualities = [1, 2]
uploads = ["jpeg-64-75"]
rounds = 2
"""


def plan(folder: Path, text: str = PLAN) -> str:
    path = folder / "plan.toml"
    path.write_text(text)
    return str(path)


def test_every_combination_once(tmp_path: Path) -> None:
    (grid,) = read(plan(tmp_path)).grids
    points = grid.points()
    # A one-shot device has no policy, an upload no quality either.
    assert len(points) == len(set(points)) == 2 * (2 * 2 + 2 + 1)
    assert Point("3g", "one-shot", "", "", 2) in points
    assert Point("lte-m", "upload", baseline="jpeg-64-75") in points


def test_rounds_measure_all_points_before_any_again(tmp_path: Path) -> None:
    (grid,) = read(plan(tmp_path)).grids
    runs, points = list(grid.runs()), grid.points()
    half = len(runs) // 2
    assert {run.point for run in runs[:half]} == {run.point for run in runs[half:]} == set(points)
    assert runs[0].point != runs[half].point
    assert all(run.estimated_seconds > 0 for run in runs)


def test_large_fleets_send_more(tmp_path: Path) -> None:
    for name in ("images", "pictures"):  # the older spelling is accepted
        (grid,) = read(plan(tmp_path, PLAN + f"devices = [1, 8]\neach = 5\n{name} = 30")).grids
        assert {run.point.devices: run.images for run in grid.runs()} == {1: 30, 8: 40}


def test_another_baseline_of_equal_accuracy(tmp_path: Path) -> None:
    named = PLAN.replace("[[grid]]", 'equal = "jpeg-64-75"\n[[grid]]')
    found = read(plan(tmp_path, named)).with_equal(Baseline("webp", 128, 0))
    assert (found.equal, found.grids[0].uploads) == ("webp-128-0", ("webp-128-0",))


def test_a_key_depends_on_everything_that_is_measured(tmp_path: Path) -> None:
    runs = read(plan(tmp_path)).runs()
    more = read(plan(tmp_path, PLAN + "images = 21")).runs()
    keys = [run.key(subject) for run in runs + more for subject in ("one model", "another")]
    assert len(set(keys)) == len(keys)
    assert runs[0].key("one model") == read(plan(tmp_path)).runs()[0].key("one model")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("lte-m", "5g"), "grid.0.links.0: no link '5g': choose from nb-iot"),
        (("jpeg-64-75", "gif-64-75"), "cannot read the upload 'gif-64-75': write jpeg-224-75"),
        (("rounds = 2", "turns = 2"), "grid.0.turns: Extra inputs"),
        (('title = "Of a test"', ""), "title: Field required"),
        (("[[grid]]", "[[grid"), "not TOML"),
        (("[[grid]]", 'equal = "webp-64-40"\n[[grid]]'), "equal: webp-64-40 is none of the uploads"),
        (
            ("rounds = 2", "in_flight = 8"),
            "a stream has more than one image in flight, and no other grid has",
        ),
        (('"links"', '"stream"'), "a stream has more than one image in flight"),
        (('"links"', '"stream"\nin_flight = 8\ndevices = [2]'), "a stream is of one device"),
        (("rounds = 2", "[radio.lte-m]\nsending = -1"), "radio.lte-m"),
    ],
)
def test_a_bad_plan_is_one_line(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(PlanError) as error:
        read(plan(tmp_path, PLAN.replace(*change)))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_stream_is_of_one_device_with_many_images_in_flight(tmp_path: Path) -> None:
    stream = PLAN.replace('"links"', '"stream"') + "in_flight = 8"
    runs = read(plan(tmp_path, stream)).runs()
    assert {run.point.in_flight for run in runs} == {8}
    # Filling the link takes images too, and those that fill it are sent in addition.
    alone = {run.point.link: run for run in read(plan(tmp_path)).runs()}
    assert all(0 < run.estimated_seconds < alone[run.point.link].estimated_seconds * 3 for run in runs)


def test_a_plan_may_have_radios_of_its_own(tmp_path: Path) -> None:
    figures = "sending = 700\nreceiving = 100\nconnected = 60\ntail = 5\n"
    found = read(plan(tmp_path, f"{PLAN}\n[radio.lte-m]\n{figures}"))
    assert found.radios == {"lte-m": Radio(700, 100, 60, 5)}
    assert Plan.model_validate(found.model_dump(mode="json", by_alias=True)) == found


def test_the_bundled_plans_can_be_read() -> None:
    assert sorted(path.stem for path in PLANS.glob("*.toml")) == ["detect", "full", "short", "stream"]
    assert read("full").equal == read("short").equal == read("stream").equal
    assert read("detect").model == "voc2007"
    with pytest.raises(PlanError, match="give a TOML file, or one of detect, full, short, stream"):
        read("medium")
