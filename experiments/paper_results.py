"""The numbers that the two papers published, and the name of our run beside each."""

from dataclasses import dataclass

from experiments.networks import ResNet50
from overtone.training.network_configs import CascadeConfig, NetworkConfig


@dataclass(frozen=True)
class Published:
    """A published top-1 in percent, and the name of our run."""

    what: str
    top1: float | None
    run: str

    @property
    def percent(self) -> str:
        """The published top-1 for a table, empty if none was published."""
        return "" if self.top1 is None else f"{self.top1:.2f}"


# The report on high/low separation, its table of networks; mini-ImageNet (100 classes), 90 epochs.
SYSTEMS = (
    Published("RGB ResNet-50", 82.67, "small-rgb"),
    Published("frequency ResNet-50, 24 channels", 83.59, "small-frequency-24"),
    Published("frequency ResNet-50, 6 channels", 81.53, "small-frequency-6"),
    Published("the same with 24 channels, layer2 stride 1", None, "small-frequency-24-fine"),
    Published("one half-width network on 24 channels", 82.67, "small-half-24"),
    Published("192 channels behind a gate", None, "small-gate"),
)

# Xu et al., tables of ResNet-50 and MobileNetV2; ImageNet, 24 channels of ResNet-50 as in the camera-ready.
IMAGENET = (
    Published("RGB ResNet-50", 75.78, "small-rgb"),
    Published("frequency ResNet-50, 24 channels", 77.20, "small-frequency-24"),
    Published("frequency ResNet-50, 64 channels", 77.16, "small-frequency-64"),
    Published("RGB MobileNetV2", 71.70, "small-mobilenet-rgb"),
    Published("frequency MobileNetV2, 24 channels", 72.36, "small-mobilenet-24"),
    Published("frequency MobileNetV2, 32 channels", 72.28, "small-mobilenet-32"),
)

# The report's table of structures; the cascade at a threshold of 0.85.
STRUCTURES = (
    Published("1: features concatenated before the classifier", 81.82, "small-structure-1"),
    Published("2: stages 0-3 added", 81.93, "small-structure-2-add"),
    Published("2: stages 0-3 concatenated", 81.95, "small-structure-2-cat-0123"),
    Published("2: stages 0-2 concatenated", 81.78, "small-structure-2-cat-012"),
    Published("2: stages 0, 1 concatenated", 81.99, "small-structure-2-cat-01"),
    Published("2: stage 0 concatenated", 82.76, "small-structure-2-cat-0"),
    Published("3: stems concatenated", 83.22, "small-structure-3"),
)

TABLES = {"structures": STRUCTURES, "networks": SYSTEMS, "networks of Xu et al.": IMAGENET}


@dataclass(frozen=True)
class PublishedCost:
    """Published parameters in millions and multiply-adds in billions, and the network to count ours on."""

    what: str
    parameters: float
    macs: float
    network: NetworkConfig
    classes: int = 100
    size: int = 448


COSTS = (
    PublishedCost("RGB ResNet-50, 224 px, 1000 classes", 25.557, 4.089, ResNet50(input="rgb"), 1000, 224),
    PublishedCost("frequency ResNet-50, 24 channels", 23.691, 3.929, ResNet50(input=24)),
    PublishedCost("the same, 6 channels", 23.685, 3.911, ResNet50(input=6)),
    PublishedCost(
        "24 channels, strides 1, 1, 2, 2", 23.691, 13.524, ResNet50(input=24, strides=(1, 1, 2, 2))
    ),
    PublishedCost("separation, structure 3, both networks", 11.987, 2.003, CascadeConfig()),
)
