"""Several processes that train one network, each on its share of every batch, as torchrun starts them."""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from overtone.training.data import EpochSampler


@dataclass(frozen=True)
class Ranks:
    """This process among `count`; without torchrun it is alone."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that logs, saves and shows progress."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This rank's part of a batch of n, cut as `torch.tensor_split` cuts."""
        each, more = divmod(n, self.count)
        begin = self.rank * each + min(self.rank, more)
        return slice(begin, begin + each + (self.rank < more))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def average_buffers(self, module: nn.Module) -> None:
        """Running statistics of batch normalisation: the mean over all ranks, in place."""
        for buffer in module.buffers():
            if self.count > 1 and buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer.div_(self.count)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the ranks; as it is when there is only one."""
        if self.count == 1:
            return module
        with warnings.catch_warnings():
            # Newer versions of torch have another name for it, which the older ones do not know.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            # Each rank keeps its own running statistics; `average_buffers` joins them.
            return DistributedDataParallel(module, broadcast_buffers=False)


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun started, joined over NCCL on CUDA and gloo elsewhere."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Of several CUDA devices, the one that torchrun means for this process."""
    local = os.environ.get("LOCAL_RANK")
    return torch.device("cuda", int(local)) if local and device.type == "cuda" else device


def accumulating(module: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Around each micro-batch: gradients are averaged over the ranks in the last one only."""
    if isinstance(module, DistributedDataParallel) and not last:
        return module.no_sync()
    return nullcontext()


class Shares(Sampler[list[tuple[int, int, int]]]):
    """This rank's share of every batch of a sampler that draws the same batches on every rank."""

    def __init__(self, batches: EpochSampler, ranks: Ranks) -> None:
        self.batches, self.ranks = batches, ranks

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for batch in self.batches:
            yield batch[self.ranks.share(len(batch))]
