import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.benchmarks.codec import speed
from overtone.frequency import Profile, coder, fit, open_rgb


def test_the_least_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"a": [3.0, 1.0, 2.0], "b": [5.0, 6.0, 4.5]}
    clock = chain.from_iterable((0.0, seconds[name][i]) for i in range(3) for name in "ab")
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    assert speed.least({"a": lambda: None, "b": lambda: None}, 3) == {"a": 1.0, "b": 4.5}


def test_both_implementations_are_timed(
    photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[str, bool]] = []
    shot, profile = fit(open_rgb(photograph), 64), Profile.uniform(["any"], size=64, steps=(64,))
    work = speed.tasks(shot, profile, 1)
    monkeypatch.setattr(speed, "encode", lambda *_: used.append(("encode", coder.accelerated)))
    monkeypatch.setattr(speed, "decode", lambda payloads, *_: used.append(("decode", coder.accelerated)))
    before = coder.accelerated
    for task in work.values():
        task()
    assert coder.accelerated == before
    names = [name for name in work if name.startswith(("encode", "decode"))]
    assert used == [(name.split()[0].strip(","), name.endswith(" C")) for name in names]
    assert len(names) == (6 if before else 3)


def test_images_come_evenly_from_a_folder(picture_folder: Path) -> None:
    found = speed.images(picture_folder, 3)
    assert [image.size for image in found] == [(128, 96)] * 3
    cold, warm = (np.asarray(image).reshape(-1, 3).mean(axis=0) for image in (found[0], found[-1]))
    assert cold[2] > cold[0]
    assert warm[0] > warm[2]
