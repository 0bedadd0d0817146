"""Which files are complete."""

import os
from pathlib import Path

from overtone.edge_client.settling import SETTLED, Settling


def test_a_file_is_complete_once_after_it_has_stayed_as_it_is(tmp_path: Path) -> None:
    now = 0.0
    settling = Settling(lambda: now)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"half")
    assert settling.complete([path]) == []
    now = 0.9 * SETTLED
    path.write_bytes(b"half and half")
    assert settling.complete([]) == [], "it has grown since"
    now = 1.8 * SETTLED
    assert settling.complete([]) == []
    now = 2.0 * SETTLED
    assert settling.complete([]) == [path]
    now = 9.0 * SETTLED
    assert settling.complete([]) == []
    assert settling.complete([path]) == [], "it was written anew"
    now = 10.0 * SETTLED
    assert settling.complete([]) == [path]


def test_a_file_of_the_same_size_that_is_written_again_is_not_complete(tmp_path: Path) -> None:
    now = 0.0
    settling = Settling(lambda: now)
    path = tmp_path / "a.bmp"
    path.write_bytes(b"0000")
    settling.complete([path])
    now = SETTLED
    os.utime(path, (1, 1))
    assert settling.complete([]) == []


def test_files_that_go_are_forgotten(tmp_path: Path) -> None:
    now = 0.0
    settling = Settling(lambda: now)
    path = tmp_path / "a.jpg"
    path.touch()
    settling.complete([path])
    path.unlink()
    now = 2 * SETTLED
    assert settling.complete([]) == []
    assert not settling._states
