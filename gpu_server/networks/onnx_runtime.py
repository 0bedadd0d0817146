"""Stages of a cascade in ONNX Runtime, which takes about half of torch's time on a CPU."""

import importlib.util
import io
import logging
import statistics
import time
import warnings

import torch
from torch import Tensor, nn

from overtone.gpu_server.networks.cuda_graphs import Forward, Inputs

log = logging.getLogger(__name__)

# The exporter with this version of the operators needs seconds, that of `torch.export` minutes.
OPSET = 17
SIZE = 4
TRIALS = 3
# Largest difference of two logits that are the same but for rounding.
TOLERANCE = 1e-2


def installed() -> bool:
    """Whether ONNX Runtime, and what writes its models, is there."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


class Export(nn.Module):
    """A function of batches, as a module that owns the weights of `network`."""

    def __init__(self, network: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.network = network
        self._forward = forward

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the function returns."""
        return self._forward(inputs)


def export(network: nn.Module, forward: Forward, inputs: Inputs, threads: int) -> Forward:
    """The same function in ONNX Runtime, for batches of any size; it may be called in several threads at once.

    Args:
        network: what `forward` computes with, in eval mode.
        forward: a function of tensors whose first axis is the batch.
        inputs: an example.
        threads: that compute one batch.

    Raises:
        Exception: whatever the exporter or the runtime cannot do.
    """
    import onnxruntime

    names = [f"input{number}" for number in range(len(inputs))]
    model = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # They are about the exporter's future, and about shapes that are the same for all images.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Export(network, forward).eval(),
            inputs,
            model,  # type: ignore[arg-type] # an open file, too
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait for the next batch leave the core to others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.getvalue(), options, providers=["CPUExecutionProvider"])

    def run(fresh: Inputs) -> Tensor:
        (logits,) = session.run(None, {n: x.numpy() for n, x in zip(names, fresh, strict=True)})
        return torch.from_numpy(logits)

    return run


def faster(network: nn.Module, forward: Forward, inputs: Inputs, name: str) -> Forward:
    """The function as torch or as ONNX Runtime computes it, whichever is faster here; torch where in doubt."""
    try:
        exported = export(network, forward, inputs, torch.get_num_threads())
        difference = float((exported(inputs) - forward(inputs)).abs().max())
    except Exception as error:
        log.warning("the %s network stays with torch, ONNX Runtime cannot run it: %s", name, error)
        return forward
    if not difference < TOLERANCE:
        log.warning(
            "the %s network stays with torch, from which ONNX Runtime differs by %g", name, difference
        )
        return forward
    torch_seconds, seconds = _seconds(forward, inputs), _seconds(exported, inputs)
    chosen = "ONNX Runtime" if seconds < torch_seconds else "torch"
    log.info(
        "the %s network runs in %s: %.1f ms an image with torch, %.1f with ONNX Runtime",
        name,
        chosen,
        1000 * torch_seconds / len(inputs[0]),
        1000 * seconds / len(inputs[0]),
    )
    return exported if seconds < torch_seconds else forward


def _seconds(forward: Forward, inputs: Inputs) -> float:
    found = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        forward(inputs)
        found.append(time.perf_counter() - began)
    return statistics.median(found)
