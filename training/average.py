"""What `overtone train average` does: one checkpoint from the weights of several.

Checkpoints of which one began with the other's weights lie in one valley of the loss, and the middle of a
valley is lower than its sides: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
Generalization", UAI 2018; Wortsman et al., "Model soups", ICML 2022. It costs nothing to run.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from overtone.frequency import Profile
from overtone.models import Card, Cascade, CheckpointError, choose_device, load, save
from overtone.training.data import Pictures, part, split
from overtone.training.finish import decide
from overtone.training.progress import tracked
from overtone.training.recalibrate import check_file
from overtone.training.steps import TOLERANCE, exact
from overtone.training.systems import autocast
from overtone.training.transform import Quantiser

STATISTICS_ON = 2000
BATCH = 64


def average(
    checkpoints: Sequence[str], data: Path, out: Path, *, workers: int = 0, device: str = "auto"
) -> Card:
    """Write the mean of some checkpoints' weights; profile and card are the last one's.

    Statistics of batch normalisation are counted anew on training pictures, since they fit no average.
    Temperature, default quality and operating points are chosen on the calibration part.

    Raises:
        CheckpointError: fewer than two, other networks, other classes, or no file that can be written.
    """
    if len(checkpoints) < 2:
        raise CheckpointError("an average needs two checkpoints or more")
    check_file(out)
    loaded = [load(name, choose_device(device), stale=True) for name in checkpoints]
    model, card = loaded[-1]
    for name, (_, other) in zip(checkpoints, loaded, strict=True):
        if (other.architecture, other.classes) != (card.architecture, card.classes):
            raise CheckpointError(f"{name} has another network or other classes than {checkpoints[-1]}")
    model.mix = None
    model.load_state_dict(mean([each.state_dict() for each, _ in loaded]))
    train, calibration = split(part(data, "train", card.classes, card.profile.labels))
    settle(model, train, card.profile)
    decided = decide(model, card.profile, calibration, data.name, TOLERANCE, workers)
    card = decided.on(card)
    save(out, model, card)
    Console().print(f"wrote {out}: quality {decided.profile.quality}, threshold {card.threshold():.3f}")
    return card


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor; what is no real number, such as a count, is the last one's."""
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if last.is_floating_point() else last
        for key, last in states[-1].items()
    }


def settle(model: Cascade, train: Pictures, profile: Profile) -> None:
    """Count batch statistics anew, over training pictures at all qualities of the profile."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over batches
    device = next(model.parameters()).device
    # Pictures lie class by class: a stride over all of them, shuffled, puts every class in every batch.
    some = train.take(range(0, len(train), -(-len(train) // STATISTICS_ON)))
    values = torch.from_numpy(exact(some, profile))
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0)).split(BATCH)
    model.train()
    with torch.no_grad(), autocast(device):
        for chosen in tracked(order, "batch statistics", len(order)):
            rounded = _rounded(values[chosen], profile).to(device)
            low, high = rounded.tensor_split([model.architecture.low_channels], dim=1)
            model.low(low.contiguous(memory_format=torch.channels_last))
            model.high(model.state(low), high.contiguous(memory_format=torch.channels_last))
    model.eval()


def _rounded(values: Tensor, profile: Profile) -> Tensor:
    """Coefficients [N, C, h, w], each picture at the next quality in turn."""
    turn = [q for q, _ in zip(cycle(profile.qualities), values, strict=False)]
    steps = torch.tensor([profile.steps[profile.index(q)] for q in turn], dtype=torch.float32)
    thresholds = torch.tensor([profile.threshold(q) for q in turn], dtype=torch.float32)
    return Quantiser(steps[:, :, None, None], thresholds[:, None, None, None])(values)
