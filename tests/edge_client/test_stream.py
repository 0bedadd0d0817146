"""Several images in flight over a thin link, through the client's own session."""

from statistics import mean

import pytest

from tests.edge_client.simulated import simulated_images
from tests.edge_client.thin import streamed

KBIT = 125.0
LINKS = ((24, 0.6), (32, 0.12), (60, 0.6), (300, 0.12), (1000, 0.1), (1000, 0.6), (20_000, 0.02))


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(("rate", "rtt"), LINKS)
def test_auto_is_near_the_best_however_many_are_in_flight(rate: int, rtt: float, in_flight: int) -> None:
    """It is near the fastest plan that does not waste more than it saves, and it knows the link."""
    images = simulated_images(120, 0.15, high=700)
    runs = {
        policy: streamed(policy, rate * KBIT, rtt, 0.006, images, in_flight)
        for policy in ("on_demand", "ahead", "at_once", "auto")
    }
    auto, asked = runs.pop("auto"), runs["on_demand"].seconds
    fair = [run.seconds for run in runs.values() if run.wasted / (rate * KBIT) <= asked - run.seconds]
    assert auto.seconds <= 1.05 * min(asked, *fair)
    assert mean(auto.each) <= 1.05 * mean(runs["on_demand"].each)
    assert auto.selector.rate == pytest.approx(rate * KBIT, rel=0.05)
    assert auto.selector.link.round_trip == pytest.approx(rtt, rel=0.15)
