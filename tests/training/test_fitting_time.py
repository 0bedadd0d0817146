from overtone.frequency import TWO_LAYERS
from overtone.frequency.ladder import Layer
from overtone.training.codec.fitting_time import fitting_seconds


def test_layers_and_images_take_time() -> None:
    three = (Layer("low", 3), Layer("low", 1), Layer("high", 1))
    fewest, few, many = (fitting_seconds(*n, 7, TWO_LAYERS) for n in ((1, 16), (120, 64), (120, 224)))
    assert 0 < 3 * fewest < few < many
    # What is beyond the images that are looked at takes no longer; the machine may be busier, hence the margin.
    assert fitting_seconds(100_000, 224, 7, TWO_LAYERS) < 3 * many
    assert fitting_seconds(120, 224, 7, three) > many / 3
