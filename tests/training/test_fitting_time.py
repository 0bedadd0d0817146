import pytest

from overtone.frequency import TWO_LAYERS
from overtone.frequency.ladder import Layer
from overtone.training.codec import fitting_time
from overtone.training.codec.fitting_time import fitting_seconds
from overtone.training.table_fitting import UNITS


def test_layers_and_images_take_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_time, "_seconds_a_step", lambda units: 1e-4 * units)
    three = (Layer("low", 3), Layer("low", 1), Layer("high", 1))
    fewest, few, many = (fitting_seconds(*n, 7, TWO_LAYERS) for n in ((1, 16), (120, 64), (120, 224)))
    assert 0 < 3 * fewest < few < many
    # What is beyond the images that are looked at takes no longer.
    assert fitting_seconds(100_000, 224, 7, TWO_LAYERS) == many
    assert fitting_seconds(120, 224, 7, three) > many


def test_a_step_takes_time() -> None:
    assert all(fitting_time._seconds_a_step(units) > 0 for units in set(UNITS.values()))
