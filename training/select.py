"""From a heat map to a static set of channels (Xu et al. 2020, section 3.3), as a file that recipes read."""

import json
from dataclasses import dataclass
from pathlib import Path

from overtone.frequency.channels import BLOCK, COUNT, LOW, SETS, Channels
from overtone.training.heatmap import HeatMap


class SelectError(ValueError):
    """A choice that leaves no set of channels."""


@dataclass(frozen=True)
class ChannelSet:
    """Channels in the order of their indices; `low` are the most opened of them, `high` are the others."""

    name: str
    channels: Channels
    low: Channels
    source: str

    @property
    def high(self) -> Channels:
        """What is not low."""
        return tuple(c for c in self.channels if c not in self.low)

    def shared(self) -> dict[int, int]:
        """How many channels of each of the paper's sets are among these: size of the set -> number."""
        return {size: len(set(of) & set(self.channels)) for size, of in SETS.items() if size < COUNT}

    def __str__(self) -> str:
        shared = ", ".join(f"{found} of {size}" for size, found in self.shared().items())
        return f"{len(self.channels)} channels; of the paper's sets they hold {shared}"

    def to_toml(self) -> str:
        """What a recipe takes as its `input`."""
        lines = [f"# {self}"]
        lines += [f"name = {json.dumps(self.name)}", f"from = {json.dumps(self.source)}"]
        lists = {"channels": self.channels, "low": self.low, "high": self.high}
        lines += [f"{key} = {list(value)}" for key, value in lists.items()]
        return "\n".join(lines) + "\n"


def select(
    heatmap: HeatMap, count: int | None = None, share: float | None = None, name: str = "selected"
) -> ChannelSet:
    """The `count` channels that most pictures open, or all that at least a `share` (0 to 1) of them open.

    Where as many pictures open one channel as another, the lower frequency comes first.

    Raises:
        SelectError: both or neither are given, or nothing would be left.
    """
    ranked = sorted(range(COUNT), key=lambda c: (-heatmap.open[c], _frequency(c), c))
    if (count is None) == (share is None):
        raise SelectError("give either --count or --share")
    if count is None:
        assert share is not None
        count = sum(value >= share for value in heatmap.open)
        if not count:
            highest = max(heatmap.open)
            raise SelectError(f"no channel is opened by {share:.0%} of pictures; the most is {highest:.1%}")
    if not 0 < count <= COUNT:
        raise SelectError(f"--count {count}: give a number from 1 to {COUNT}")
    chosen = ranked[:count]
    source = f"{heatmap.n} pictures of {heatmap.data}, lambda {heatmap.cost:g}, top-1 {heatmap.top1:.4f}"
    return ChannelSet(name, tuple(sorted(chosen)), tuple(sorted(chosen[: len(LOW)])), source)


def _frequency(channel: int) -> int:
    """Vertical plus horizontal frequency, 0 to 14."""
    vertical, horizontal = divmod(channel % BLOCK**2, BLOCK)
    return vertical + horizontal


def select_file(heatmap: Path, count: int | None, share: float | None, out: Path | None) -> None:
    """What `overtone train select` does: the set on standard output, or in a file."""
    chosen = select(HeatMap.read(heatmap), count, share, out.stem if out else "selected")
    if out:
        out.write_text(chosen.to_toml(), "utf-8")
        print(f"wrote {out}: {chosen}")
    else:
        print(chosen.to_toml(), end="")
