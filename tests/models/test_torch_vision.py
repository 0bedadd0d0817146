import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import overtone.frequency

# Imports a torchvision that stands before the real one, and prints whether its operator had to be declared.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from overtone.models.torch_vision import torchvision
import torch
assert torchvision().__file__.startswith(sys.argv[1])
print(hasattr(torch.ops.torchvision, "nms"))
"""


def declared(folder: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


def package(folder: Path) -> Path:
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").touch()
    return folder / "torchvision" / "_C.so"


def test_operators_that_load_are_not_declared(tmp_path: Path) -> None:
    """With a torchvision for this torch a second declaration would end the process."""
    if not overtone.frequency.accelerated:
        pytest.skip("needs any library that loads, and the C extension is not built")
    found = next(Path(overtone.frequency.__file__).parent.glob("_coder*.so"))
    shutil.copy(found, package(tmp_path))
    assert not declared(tmp_path)


def test_operators_that_do_not_load_are_declared(tmp_path: Path) -> None:
    package(tmp_path).write_bytes(b"linked against what is missing")
    assert declared(tmp_path)


def test_operators_that_are_missing_are_declared(tmp_path: Path) -> None:
    package(tmp_path)
    assert declared(tmp_path)
