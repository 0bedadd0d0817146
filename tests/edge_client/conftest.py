from dataclasses import replace

import pytest

from overtone.frequency import Profile


@pytest.fixture
def other_profile(tiny_profile: Profile) -> Profile:
    """What a server has after its model has changed."""
    return replace(tiny_profile, name="other", labels=tuple(f"other {i}" for i in range(10)))
