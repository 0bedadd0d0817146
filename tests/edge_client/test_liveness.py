"""Dead connections are told from slow servers, on a virtual clock."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.liveness import Liveness
from tests.link.virtual import virtually

# Seconds that pass, or what the session tells of its images and of the server.
Step = float | Callable[[Liveness], None]


def begin(number: int, time_limit: float) -> Step:
    return lambda liveness: liveness.begin(number, time_limit)


def end(number: int) -> Step:
    return lambda liveness: liveness.end(number)


def died_at(
    script: Sequence[Step], opening: float = 0.02, *, replies: int = 0, rate: float = 1e9
) -> float | None:
    """When the connection is given up, if the first probes are replied to; None if it is not within a minute."""

    async def probe() -> None:
        nonlocal replies
        replies -= 1
        await asyncio.sleep(0.01 if replies >= 0 else 1e6)

    async def play(liveness: Liveness) -> None:
        for step in script:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                step(liveness)

    async def main() -> float | None:
        link = LinkEstimator(first_rate=rate)
        link.sent(1000, asyncio.get_running_loop().time())
        liveness = Liveness(link, opening, probe)
        playing = asyncio.ensure_future(play(liveness))
        try:
            async with asyncio.timeout(60):
                await liveness.dead()
        except TimeoutError:
            return None
        finally:
            playing.cancel()
        return asyncio.get_running_loop().time()

    return virtually(main())


@pytest.mark.parametrize(("time_limit", "given_up"), [(1.5, 0.75), (3.0, 1.5), (5.0, 2.5), (30.0, 15.0)])
def test_half_of_the_time_limit_is_left_for_another_connection(time_limit: float, given_up: float) -> None:
    assert died_at([begin(1, time_limit)]) == pytest.approx(given_up)


def test_a_slow_server_is_not_taken_for_a_dead_connection() -> None:
    assert died_at([begin(1, 5.0)], replies=1000) is None


def test_a_probe_is_made_again_after_the_same_silence() -> None:
    assert died_at([begin(1, 3.0)], replies=2) == pytest.approx(2 * 1.01 + 1.5)


def test_a_link_on_which_opening_took_long_is_given_more_time() -> None:
    assert died_at([begin(1, 5.0)], opening=2.0) == pytest.approx(1.5 * 6.0)


def test_what_is_still_queued_on_the_link_cannot_have_been_replied_to() -> None:
    """A thousand bytes at a hundred per second; then the probe has the usual time."""
    assert died_at([begin(1, 6.0)], rate=100.0) == pytest.approx(10.0 + 1.0)


def test_any_message_of_the_server_ends_the_silence() -> None:
    pause_and_message: list[Step] = [0.9, Liveness.heard]
    assert died_at([begin(1, 3.0), *pause_and_message * 5]) == pytest.approx(5 * 0.9 + 1.5)


def test_a_message_that_comes_while_the_probe_waits_counts_too() -> None:
    assert died_at([begin(1, 3.0), 1.4, Liveness.heard]) == pytest.approx(1.4 + 1.5)


def test_time_in_which_no_image_waits_is_no_silence() -> None:
    assert died_at([begin(1, 3.0), 0.5, end(1), 20.0, begin(2, 3.0)]) == pytest.approx(20.5 + 1.0)


def test_short_time_limits_add_up() -> None:
    """No image waits long enough for suspicion, but several in a row do."""
    assert died_at([begin(1, 0.2), 0.2, end(1)] * 100) == pytest.approx(0.75, abs=0.01)


def test_the_shortest_time_limit_counts() -> None:
    assert died_at([begin(1, 60.0), begin(2, 3.0)]) == pytest.approx(1.5)
