"""The thousand classes of ImageNet: their WordNet ids, which name its folders, and their labels for people."""

from overtone.models.torch_vision import timm, torchvision

COUNT = 1000


def classes_of(count: int) -> tuple[str, ...]:
    """The class names of published weights: ImageNet's ids if there are 1,000, otherwise just numbers."""
    return wordnet_ids() if count == COUNT else tuple(f"class {i}" for i in range(count))


def wordnet_ids() -> tuple[str, ...]:
    """The ids, such as n01440764, in the order of the logits of published networks."""
    info = timm().data.ImageNetInfo()
    return tuple(str(info.index_to_label_name(i)) for i in range(COUNT))


def labels() -> tuple[str, ...]:
    """The labels, such as "tench", in the same order."""
    torchvision()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return tuple(_IMAGENET_CATEGORIES)
