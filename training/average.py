"""`overtone train average`: one checkpoint whose weights are the mean of several.

Checkpoints of which one started from the other's weights lie in the same valley of the loss, and their mean is
often lower: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018;
Wortsman et al., "Model soups", ICML 2022. The mean costs no more to run than one of them.
"""

from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path

import torch
from torch import Tensor, nn

from overtone.frequency import Profile
from overtone.frequency.ladder import Band
from overtone.models import Card, Cascade, CheckpointError, choose_device, load
from overtone.training.codec.codec_training import TOLERANCE, exact_coefficients
from overtone.training.data import Images, read_split, split
from overtone.training.export import check_writable, decide, write
from overtone.training.progress import tracked
from overtone.training.quality import Quality
from overtone.training.systems import autocast
from overtone.training.transform import Quantiser, channel_factors

STATISTICS_ON = 2000
BATCH = 64


def average(
    checkpoints: Sequence[str], data: Path, out: Path, *, workers: int = 0, device: str = "auto"
) -> Card:
    """Write the mean of the weights of several checkpoints; profile and card are those of the last one.

    Statistics of batch normalisation fit no average, so they are computed again on training images.
    Temperatures, default quality and operating points are chosen on the calibration split.

    Raises:
        CheckpointError: fewer than two, different networks or classes, or a file that cannot be written.
    """
    if len(checkpoints) < 2:
        raise CheckpointError("an average needs two checkpoints or more")
    check_writable(out)
    loaded = [load(name, choose_device(device), stale=True) for name in checkpoints]
    model, card = loaded[-1]
    for name, (_, other) in zip(checkpoints, loaded, strict=True):
        if (other.architecture, other.classes) != (card.architecture, card.classes):
            raise CheckpointError(f"{name} has another network or other classes than {checkpoints[-1]}")
    model.mix = None
    model.load_state_dict(mean([each.state_dict() for each, _ in loaded]))
    train, calibration = split(read_split(data, "train", card.classes, card.profile.labels))
    compute_statistics(model, train, card.profile)
    decided = decide(model, card.profile, calibration, data.name, TOLERANCE, workers)
    card = card.model_copy(update=decided)
    write(out, model, card)
    return card


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor of real numbers; integers, such as counts, are those of the last state."""
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if last.is_floating_point() else last
        for key, last in states[-1].items()
    }


def compute_statistics(model: Cascade, train: Images, profile: Profile) -> None:
    """Compute batch statistics again, on training images at all qualities of the profile."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over batches
    device = next(model.parameters()).device
    # Images are ordered by class: spread over all of them and shuffled, every batch contains every class.
    values = torch.from_numpy(exact_coefficients(train.spread(STATISTICS_ON), profile))
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0)).split(BATCH)
    model.train()
    with torch.no_grad(), autocast(device):
        for chosen in tracked(order, "batch statistics", len(order)):
            rounded = {band: _rounded(values[chosen], profile, band).to(device) for band in model.order}
            low, _ = rounded["low"].tensor_split([model.architecture.low_channels], dim=1)
            model.low(low.contiguous(memory_format=torch.channels_last))
            low, high = rounded["high"].tensor_split([model.architecture.low_channels], dim=1)
            state = model.state(low.contiguous(memory_format=torch.channels_last))
            model.high(state, high.contiguous(memory_format=torch.channels_last))
    model.eval()


def _rounded(values: Tensor, profile: Profile, band: Band) -> Tensor:
    """Coefficients [N, C, h, w], as known after each layer that a band's network answers, at each quality in turn."""
    known = Quality(ladder=profile.ladder).known_factors(band)
    turn = [turn for turn, _ in zip(cycle(product(profile.qualities, known)), values, strict=False)]
    steps = torch.tensor([profile.steps[profile.index(q)] for q, _ in turn], dtype=torch.float32)
    thresholds = torch.tensor([profile.threshold(q) for q, _ in turn], dtype=torch.float32)
    factors = channel_factors(torch.tensor([factors for _, factors in turn]).float())
    return Quantiser(steps[:, :, None, None], thresholds[:, None, None, None], factors)(values)
