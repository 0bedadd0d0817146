"""Several images in flight over a thin link, through the client's own session."""

from statistics import mean, median

import pytest

from overtone.edge_client.policy import UNASKED
from tests.edge_client.simulated import simulated_images
from tests.edge_client.thin import streamed

KBIT = 125.0
LINKS = ((24, 0.6), (32, 0.12), (60, 0.6), (300, 0.12), (1000, 0.1), (1000, 0.6), (20_000, 0.02))

# Images in flight, the mean bytes of their layers, and the shares that need more than each but the last. What is one by
# one and has two layers is in test_policy.py.
STREAMS = (
    (4, (900, 700), (0.15,)),
    (1, (380, 420, 670), (0.39, 0.09)),
    (4, (380, 420, 670), (0.39, 0.09)),
)


@pytest.mark.parametrize(("rate", "rtt"), LINKS)
@pytest.mark.parametrize(("in_flight", "means", "shares"), STREAMS)
def test_auto_is_no_slower_than_asking_and_wastes_little_however_many_are_in_flight(
    rate: int, rtt: float, in_flight: int, means: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    """And it knows the link."""
    images = simulated_images(160, shares, means)
    asked, auto = (
        streamed(policy, rate * KBIT, rtt, 0.006, images, in_flight) for policy in ("on_demand", "auto")
    )
    assert auto.seconds <= 1.03 * asked.seconds
    assert mean(auto.each) <= 1.03 * mean(asked.each)
    # The debt is at most some images' bytes.
    assert auto.wasted <= UNASKED * auto.sent + 4 * sum(means)
    assert auto.selector.rate == pytest.approx(rate * KBIT, rel=0.05)
    assert auto.selector.link.round_trip == pytest.approx(rtt, rel=0.15)


def test_over_a_satellite_a_short_layer_that_is_often_needed_is_not_waited_for() -> None:
    images = simulated_images(160, (0.6, 0.05), (380, 420, 670))
    asked, auto = (streamed(policy, 2000 * KBIT, 0.65, 0.006, images, 1) for policy in ("on_demand", "auto"))
    assert median(auto.each) < 0.6 * median(asked.each)
