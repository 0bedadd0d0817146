"""Fixtures of the whole suite: a tiny network that is a real checkpoint, and pictures to send it."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import TWO_LAYERS, Encoded, Profile, encode, fit, open_rgb, prior_tables
from overtone.frequency.channels import HIGH, LOW

if TYPE_CHECKING:
    from tests.serving import Serve

Photograph = NDArray[np.uint8]

LABELS = tuple(f"class {i}" for i in range(10))
STEPS = ((64,) * 24, (32,) * 24, (16,) * 24)


def pytest_report_header(config: pytest.Config) -> str:
    return "tests marked soak: " + ("run" if _with_soak(config) else "left to make soak")


def _with_soak(config: pytest.Config) -> bool:
    return "soak" in str(config.option.markexpr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests come first, and xdist gives a file to one process, which makes what its tests share.

    Tests marked soak are left out unless they are asked for with `-m soak`.
    """
    if not _with_soak(config):
        left = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish() -> None:
    """The collector need not look again and again at what all modules hold."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What a file's tests left open is an error of that file, rather than of some later one."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _quick_start() -> None:
    """Servers that tests start as processes run networks in torch, and do not compare runtimes first."""
    os.environ["OVERTONE_RUNTIME"] = "torch"


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell's background job ignores SIGINT, and so would the processes that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_profile() -> Profile:
    return Profile(
        name="tiny",
        size=64,
        low=LOW,
        high=HIGH,
        qualities=(1, 2, 3),
        quality=2,
        steps=STEPS,
        tables=prior_tables(LOW + HIGH, len(LOW), TWO_LAYERS, len(STEPS)),
        labels=LABELS,
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random cascade with the operating points "always" (low answers), "never" and "default" (0.5)."""
    import torch

    from overtone.models import Architecture, Card, Costs, OperatingPoint, ResNetCascade, cost, save

    torch.manual_seed(0)
    architecture = Architecture(classes=10, low_width=1 / 16, high_width=1 / 16, stem=8, layers=(1, 1, 1, 1))
    model = ResNetCascade(architecture).eval()
    points = {"always": 0.0, "never": 1.1, "default": 0.5}
    counted = cost(model, tiny_profile.size)
    card = Card(
        name="tiny",
        architecture=architecture,
        profile=tiny_profile,
        classes=LABELS,
        temperatures=(1.0, 1.0),
        operating_points=tuple(OperatingPoint(name=k, thresholds=(v,)) for k, v in points.items()),
        operating_point="default",
        cost=Costs(parameters=counted.parameters, low_macs=counted.low_macs or 0, macs=counted.macs),
    )
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save(path, model, card)
    return path


@pytest.fixture(scope="session")
def tiny_detector(tiny_profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random detector as a checkpoint; see `tests.models.detection.tiny_detector.write_checkpoint`."""
    from tests.models.detection.tiny_detector import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("detector") / "tiny-detector.safetensors", tiny_profile)


@pytest.fixture(scope="session")
def photograph() -> Photograph:
    """uint8[96, 128, 3]: smooth shapes with some grain, as photographs have."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:96, :128] / 96
    planes = np.stack([np.sin(3 * x + 2 * y), np.cos(4 * x * y), np.sin(5 * y)], axis=-1)
    return np.clip(128 + 90 * planes + rng.normal(0, 6, planes.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


@pytest.fixture(scope="session")
def serve(tiny_checkpoint: Path) -> Iterator["Serve"]:
    """Start a server with these settings; it stops when the block is left."""
    from overtone.gpu_server.serve import running
    from tests.serving import opened_once, quick_settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overtone.gpu_server.service.open_networks", opened_once)
        yield lambda **changes: running(quick_settings(tiny_checkpoint, **changes))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real pictures: OVERTONE_DATA, or a data folder beside the project; skipped without either."""
    named = os.environ.get("OVERTONE_DATA")
    beside = Path(__file__).parents[2] / "shared" / "data" / "imagenette"
    folder = Path(named) if named else beside
    if not folder.is_dir():
        pytest.skip(f"no pictures: OVERTONE_DATA is not set and {beside} does not exist")
    return folder


@pytest.fixture
def picture_folder(tmp_path: Path, photograph: Photograph) -> Path:
    """Two classes in train/ and val/, a few pictures each."""
    from PIL import Image

    rng = np.random.default_rng(3)
    for part, count in (("train", 12), ("val", 3)):
        for label, tint in (("cold", 2), ("warm", 0)):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                tinted = photograph.astype(np.int16) // 2 + rng.integers(0, 40, photograph.shape)
                tinted[..., tint] += 90
                Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8)).save(folder / f"{i}.jpg")
    return tmp_path


@pytest.fixture
def labelled_folder(tmp_path: Path, photograph: Photograph) -> Path:
    """val/ with pictures of two of the tiny checkpoint's classes."""
    from PIL import Image

    for number in (0, 3):
        folder = tmp_path / "val" / f"class {number}"
        folder.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.roll(photograph, 10 * i + number, axis=1)).save(folder / f"{i}.png")
    return tmp_path
