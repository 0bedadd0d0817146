"""Stages of a cascade in ONNX Runtime, which takes about half of torch's time on a CPU."""

import hashlib
import importlib.util
import io
import logging
import statistics
import time
import warnings
from importlib.metadata import version

import torch
from torch import Tensor, nn

from overtone.gpu_server.networks.cuda_graphs import Forward, Inputs
from overtone.gpu_server.networks.export_cache import ExportCache

log = logging.getLogger(__name__)

# The exporter with this version of the operators needs seconds, that of `torch.export` minutes.
OPSET = 17
# Images of the batch, and batches, by which the two runtimes are compared.
SIZE = 4
TRIALS = 3
# The largest difference by rounding between logits of torch and of ONNX Runtime.
TOLERANCE = 1e-2


def installed() -> bool:
    """Whether the packages onnxruntime and onnx are installed."""
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


def key_of(of: str, network: nn.Module, inputs: Inputs, name: str) -> str:
    """The cache key of an export: a digest of the model, its layers, the inputs' shapes, and the exporter's versions.

    The code of `forward` is not part of it: a cached export is compared with torch before it is used.
    """
    made_by = ([version(each) for each in ("torch", "onnx", "onnxruntime")], OPSET)
    shapes = [(str(each.dtype), tuple(each.shape[1:])) for each in inputs]
    return hashlib.sha256(repr((made_by, of, name, shapes, str(network))).encode()).hexdigest()


def export(network: nn.Module, forward: Forward, inputs: Inputs) -> bytes:
    """The same function as a model of ONNX, for batches of any size.

    Args:
        network: what `forward` computes with, in eval mode.
        forward: a function of tensors whose first axis is the batch.
        inputs: an example.

    Raises:
        Exception: whatever the exporter cannot do.
    """
    names = _names(inputs)
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
    return model.getvalue()


def session(model: bytes, inputs: Inputs, threads: int) -> Forward:
    """An export as ONNX Runtime computes it; it may be called in several threads at once.

    Args:
        model: what `export` returned.
        inputs: an example.
        threads: that compute one batch.

    Raises:
        Exception: whatever the runtime cannot do.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait for the next batch leave the core to others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    opened = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = _names(inputs)

    def run(fresh: Inputs) -> Tensor:
        (logits,) = opened.run(None, {n: x.numpy() for n, x in zip(names, fresh, strict=True)})
        return torch.from_numpy(logits)

    return run


def _names(inputs: Inputs) -> list[str]:
    return [f"input{number}" for number in range(len(inputs))]


class Differs(Exception):  # noqa: N818 - named after what happened
    """ONNX Runtime returns other logits than torch."""


def faster(
    network: nn.Module, forward: Forward, inputs: Inputs, name: str, of: str, cache: ExportCache
) -> Forward:
    """The function as torch or as ONNX Runtime computes it, whichever is faster here; torch where in doubt.

    Args:
        network: as of `export`.
        forward: as of `export`.
        inputs: as of `export`.
        name: of the function, for logs and the key.
        of: a digest of the model.
        cache: for exports.
    """
    try:
        key = key_of(of, network, inputs, name)
        exported = _exported(network, forward, inputs, name, key, cache)
    except Differs as error:
        log.warning("the %s network stays with torch, from which ONNX Runtime differs by %s", name, error)
        return forward
    except Exception as error:
        log.warning("the %s network stays with torch, ONNX Runtime cannot run it: %s", name, error)
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


def _exported(
    network: nn.Module, forward: Forward, inputs: Inputs, name: str, key: str, cache: ExportCache
) -> Forward:
    """The function in ONNX Runtime, from the cache or else made anew.

    Raises:
        Differs: it is another function.
        Exception: whatever the exporter or the runtime cannot do.
    """
    if (kept := cache.get(key)) is not None:
        try:
            return _same(kept, forward, inputs)
        except Exception as error:
            log.warning("the export of the %s network that was kept is of no use: %s", name, error)
    began = time.thread_time()
    model = export(network, forward, inputs)
    log.info("exporting the %s network took %.1f s of processor time", name, time.thread_time() - began)
    made = _same(model, forward, inputs)
    cache.put(key, model)
    return made


def _same(model: bytes, forward: Forward, inputs: Inputs) -> Forward:
    """An export in ONNX Runtime, after a comparison with torch; raises as `_exported`."""
    found = session(model, inputs, torch.get_num_threads())
    difference = float((found(inputs) - forward(inputs)).abs().max())
    if not difference < TOLERANCE:
        raise Differs(f"{difference:g}")
    return found


def _seconds(forward: Forward, inputs: Inputs) -> float:
    found = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        forward(inputs)
        found.append(time.perf_counter() - began)
    return statistics.median(found)
