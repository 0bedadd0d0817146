"""Framing is measured over real sockets; headers are added by the rules."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.benchmarks.curve.overhead import Framing, Overhead, measure


def test_segments_have_headers_and_acknowledgements() -> None:
    """One segment each way and one empty acknowledgement; of three, the second is acknowledged by an empty one."""
    assert Framing(40, 60).wire(np.array([1000])) == pytest.approx([1000 + 40 + 60 + 3 * 52])
    assert Framing(0, 60).wire(np.array([3 * 1448])) == pytest.approx([3 * 1448 + 60 + (3 + 1 + 1 + 1) * 52])


def test_high_costs_only_images_that_needed_it() -> None:
    overhead = Overhead(Framing(40, 60), Framing(50, 50), Framing(200, 400))
    sizes, judged = np.array([[900, 900], [700, 700]]), np.array([[True, True], [False, True]])
    early, late = overhead.cascade(sizes, judged)
    assert early == pytest.approx(overhead.image.wire(np.array(900)))
    assert late == pytest.approx(early + 700 + 50 + 50 + 3 * 52)


def test_layers_requested_at_once_share_a_message() -> None:
    overhead = Overhead(Framing(40, 60), Framing(50, 50), Framing(200, 400))
    sizes = np.array([[900] * 4, [300] * 4, [700] * 4])
    judged = np.array([[True] * 4, [False, True, True, False], [False, False, True, True]])
    one, two, three, at_once = overhead.cascade(sizes, judged)
    first = float(overhead.image.wire(np.array(900)))
    assert one == pytest.approx(first)
    assert two == pytest.approx(first + 300 + 50 + 50 + 3 * 52)
    assert three == pytest.approx(two + 700 + 50 + 50 + 3 * 52)
    assert at_once == pytest.approx(first + 1000 + 50 + 50 + 3 * 52)


def test_a_session_takes_fewer_bytes_than_a_post(
    tiny_checkpoint: Path, photograph: NDArray[np.uint8], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for i, path in enumerate(paths):
        Image.fromarray(np.roll(photograph, 9 * i, axis=1)).save(path)
    found = measure(str(tiny_checkpoint), paths)
    # HTTP/2 and gRPC frame a message with 14 bytes; an answer carries a label, times and a name.
    assert 14 < found.image.up < 80
    assert 14 < found.image.down < 120
    assert 14 < found.high.up < 80
    assert 14 < found.high.down < 120
    assert found.post.up > 2 * found.image.up
    assert found.post.down > 2 * found.image.down
