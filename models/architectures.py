"""The union of all architectures that a classifier's card can hold, and the cascade that each describes."""

from overtone.models.body_cascade import BodyArchitecture, BodyCascade
from overtone.models.cascade import Cascade
from overtone.models.mix import Mix
from overtone.models.resnet_cascade import Architecture, ResNetCascade

AnyArchitecture = BodyArchitecture | Architecture


def build(architecture: AnyArchitecture, mix: Mix | None = None) -> Cascade:
    """The cascade of an architecture, with random weights."""
    if isinstance(architecture, BodyArchitecture):
        return BodyCascade(architecture, mix)
    return ResNetCascade(architecture, mix)
