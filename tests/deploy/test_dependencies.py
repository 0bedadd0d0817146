import runpy
import tomllib

import pytest

from tests.deploy.stack import DEPLOY, ROOT

requirements = runpy.run_path(str(DEPLOY / "dependencies.py"))["requirements"]
PROJECT = {
    "name": "overtone",
    "dependencies": ["numpy>=2"],
    "optional-dependencies": {
        "client": ["grpcio>=1"],
        "server": ["overtone[client]", "overtone-checkpoints", "torch>=2"],
        "dev": ["overtone[client,server]", "ruff"],
    },
}


def test_an_extra_brings_those_it_names() -> None:
    assert list(requirements(PROJECT, "server")) == ["numpy>=2", "grpcio>=1", "torch>=2"]
    assert list(requirements(PROJECT, "dev")) == ["numpy>=2", "grpcio>=1", "grpcio>=1", "torch>=2", "ruff"]


def test_no_such_extra() -> None:
    with pytest.raises(ValueError, match=r"no extra 'gpu' .*; there are client, dev, server"):
        list(requirements(PROJECT, "gpu"))


def test_a_device_needs_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in ("client", "bench"):
        assert not any(each.startswith("torch") for each in requirements(project, extra))
