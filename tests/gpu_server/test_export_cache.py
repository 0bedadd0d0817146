"""Exports in a folder that may be damaged, full, or not there."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from overtone.gpu_server.networks.export_cache import MOST, ExportCache
from overtone.gpu_server.networks.torch_network import cache_of
from tests.gpu_server.conftest import MakeSettings


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_processes_share_what_is_kept(tmp_path: Path) -> None:
    ExportCache(tmp_path).put("a", b"first")
    ExportCache(tmp_path).put("a", b"again")
    assert ExportCache(tmp_path).get("a") == b"again"
    assert ExportCache(tmp_path).get("b") is None
    assert names(tmp_path) == {"a.export"}


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 100])
def test_what_is_damaged_is_nothing(tmp_path: Path, damage: bytes) -> None:
    cache = ExportCache(tmp_path)
    cache.put("a", b"first")
    (tmp_path / "a.export").write_bytes(damage)
    assert cache.get("a") is None


def test_a_full_file_system_costs_only_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    ExportCache(tmp_path).put("a", b"first")
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_made_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ExportCache(tmp_path / "file" / "folder")
    cache.put("a", b"first")
    assert cache.get("a") is None


def test_what_is_not_used_goes(tmp_path: Path) -> None:
    cache = ExportCache(tmp_path)
    for number in range(MOST):
        cache.put(str(number), b"export")
        os.utime(tmp_path / f"{number}.export", (number, number))
    assert cache.get("0") == b"export"  # used now
    cache.put("another", b"export")
    assert len(names(tmp_path)) == MOST
    assert {"0.export", "another.export"} <= names(tmp_path)
    assert "1.export" not in names(tmp_path)


def test_the_folder_is_a_setting(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for given in (settings(), settings(cache=tmp_path / "given")):
        cache_of(given).put("a", b"export")
    assert (tmp_path / "home/overtone/networks/a.export").exists()
    assert (tmp_path / "given/a.export").exists()
