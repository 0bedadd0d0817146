"""CUDA graphs: kernels that are recorded once and replayed with one launch."""

from collections.abc import Callable

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
Forward = Callable[[Inputs], Tensor]

WARM_UP_RUNS = 3


class GraphPool:
    """Captures graphs that share memory, so that all of them together need as much as the largest one.

    A replay overwrites the outputs of other graphs. So only one may run at a time, and its output must be read before
    the next replay.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, forward: Forward, inputs: Inputs) -> Forward:
        """A graph of `forward` for inputs of these shapes; not to be called from two threads.

        Follows the pattern of the PyTorch notes on CUDA graphs: run on a side stream first, then capture.
        """
        static = tuple(t.clone() for t in inputs)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                forward(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = forward(static)

        def replay(fresh: Inputs) -> Tensor:
            for old, new in zip(static, fresh, strict=True):
                old.copy_(new, non_blocking=True)
            graph.replay()
            return output

        return replay
