"""The initial weights of a detector's training: from a classifier's checkpoint, or from another detector."""

from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from overtone.models import BodyArchitecture, BodyCascade, load
from overtone.models.checkpoint import find
from overtone.models.detection.detector import PixelDetector, StagedDetector
from overtone.models.detection.region_network import RegionNetwork
from overtone.training import resume
from overtone.training.detection import detector_file
from overtone.training.network_configs import StartError


def start(detector: StagedDetector, checkpoint: str, names: tuple[str | None, ...]) -> None:
    """Load initial weights into a detector.

    Args:
        detector: whose networks are initialised.
        checkpoint: a classifier with the same bodies, a detector, or the saved state of a run, `last.safetensors`. Of
            a detector all weights are taken that have the same names and shapes.
        names: the name of each network's body.

    Raises:
        StartError: the checkpoint has none of these bodies, or no weights that fit.
    """
    path = find(checkpoint)
    if detector_file.is_detector(path) or resume.progress(path):
        _from_detector(detector, path)
        return
    bodies = _bodies(checkpoint)
    for number, (network, name) in enumerate(zip(detector.networks, names, strict=True)):
        # The same body may serve low and high; then each has weights of its own.
        own = bodies[number - len(names) :][:1]
        fitting = [weights for found, weights in own + bodies if found == name]
        if not fitting:
            known = ", ".join(found for found, _ in bodies) or "none"
            raise StartError(f"{checkpoint} has no body {name}; it has {known}")
        _take_body(network, fitting[0])


def _bodies(checkpoint: str) -> list[tuple[str, dict[str, Tensor]]]:
    """The bodies of a checkpoint, low and high, by name, and their weights."""
    model, _ = load(checkpoint)
    if not isinstance(model, BodyCascade):
        return []
    a = model.architecture
    assert isinstance(a, BodyArchitecture)
    pairs = (a.low, model.low_network), (a.high, model.high_network)
    return [(body.name, dict(network.network.state_dict())) for body, network in pairs]


def _take_body(network: RegionNetwork, weights: dict[str, Tensor]) -> None:
    mine = network.features.network.state_dict()
    network.features.network.load_state_dict({name: weights[name] for name in mine})


def _from_detector(detector: StagedDetector, path: Path) -> None:
    """Take over weights of the same names and shapes; what depends on the classes stays random if they differ.

    A detector on pixels takes those of a cascade's high network, which differs in what it reads alone.
    """
    found = weights_in(path)
    if isinstance(detector, PixelDetector):
        found |= {f"network.{name}": value for name, value in weights_in(path, "high_network").items()}
    mine = detector.state_dict()
    fitting = {k: v for k, v in found.items() if k in mine and mine[k].shape == v.shape}
    if not fitting:
        raise StartError(f"{path}: nothing in it fits the recipe's networks")
    detector.load_state_dict(mine | fitting)


def weights_in(path: Path, network: str = "") -> dict[str, Tensor]:
    """The weights of a detector's file or of a run's saved state, or those of one of its networks by name."""
    prefix = f"{network}." if network else ""
    with safe_open(path, "pt") as file:
        named = {key.removeprefix(resume.MODEL): key for key in file.keys()}  # noqa: SIM118
        return {
            name.removeprefix(prefix): file.get_tensor(key).float()
            for name, key in named.items()
            if name.startswith(prefix)
        }
