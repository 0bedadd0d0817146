"""Turn a heat map into a static set of channels (Xu et al. 2020, section 3.3), as a recipe that others extend.

python -m experiments.select runs/gate/0.8/run.json --count 24 > chosen.toml
"""

from pathlib import Path
from typing import Annotated

import typer

from experiments.gate import HeatMap, read_heat_maps
from overtone import command
from overtone.frequency.channels import BLOCK, COUNT, SETS, Channels


class SelectError(ValueError):
    """A choice that is no set of channels, or a run without a heat map."""


def select(heat_map: HeatMap, count: int | None = None, share: float | None = None) -> Channels:
    """The `count` channels that most images open, or all that at least a `share` (0 to 1) of them open.

    If as many images open one channel as another, the lower frequency comes first.

    Raises:
        SelectError: both or neither are given, or the set would be empty.
    """
    if (count is None) == (share is None):
        raise SelectError("give either --count or --share")
    ranked = sorted(range(COUNT), key=lambda c: (-heat_map.open[c], _frequency(c), c))
    if share is not None:
        count = sum(opened >= share for opened in heat_map.open)
    if not count or not 0 < count <= COUNT:
        most = max(heat_map.open)
        raise SelectError(f"give a --count from 1 to {COUNT}, or a --share of at most {most:.3f}")
    return tuple(sorted(ranked[:count]))


def _frequency(channel: int) -> int:
    """Vertical plus horizontal frequency, 0 to 14."""
    return sum(divmod(channel % BLOCK**2, BLOCK))


def shared(channels: Channels) -> dict[int, int]:
    """How many of these channels each of the paper's sets has, by the size of the set."""
    return {size: len(set(named) & set(channels)) for size, named in SETS.items() if size < COUNT}


def to_toml(channels: Channels, heat_map: HeatMap) -> str:
    """A recipe to extend, with what the set was chosen on and how it compares with the paper's."""
    counts = ", ".join(f"{found} of {size}" for size, found in shared(channels).items())
    return (
        f"# {len(channels)} channels; of the paper's sets they contain {counts}.\n"
        f"# From {heat_map.n} images of {heat_map.data}, lambda {heat_map.cost:g}, top-1 {heat_map.top1:.4f}.\n"
        f'[network]\nkind = "resnet50"\ninput = {list(channels)}\n'
    )


@command.reporting("experiments.select", "train")
def main(
    record: Annotated[Path, typer.Argument(help="The run.json of a run of `python -m experiments.gate`.")],
    count: Annotated[int | None, typer.Option(help="Number of channels.")] = None,
    share: Annotated[float | None, typer.Option(help="All that this share of images open.")] = None,
) -> None:
    """Print the channels that a gate opens most on the calibration split, as a recipe."""
    heat_maps = read_heat_maps(record)
    if not heat_maps:
        raise SelectError(f"{record}: no run with heat maps; `python -m experiments.gate` makes them")
    print(to_toml(select(heat_maps[-1], count, share), heat_maps[-1]), end="")


if __name__ == "__main__":
    typer.run(main)
