"""A detector prepared for one device, which the engine's worker thread runs on batches."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from overtone.frequency import Profile
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.networks.torch_network import padded_size
from overtone.gpu_server.tasks.detection_rows import write_rows
from overtone.models.detection.detector import Detector

CPU_SIZES = (1, 2, 4)
CUDA_SIZES = (1, 2, 4, 8, 16)
STAGES = (Stage.LOW, Stage.HIGH)


class DetectorNetwork:
    """Both networks of a detector; on a CPU, `run` may be called in several threads at once.

    Non-maximum suppression belongs to them, so it runs in the worker's thread too. They compute in float32, as when
    their operating points were chosen. No graph is captured, as the number of objects differs from image to image.
    On CUDA batches are padded to a warmed size all the same: cuDNN takes seconds for the first batch of any other.

    Args:
        detector: in eval mode.
        profile: of the model.
        device: where it runs.
        sizes: batch sizes to warm, ascending from 1; by default those of the device.

    Attributes:
        pads: whether batches are filled with blank images up to a warmed size; only on CUDA by default.
    """

    def __init__(
        self, detector: Detector, profile: Profile, device: torch.device, sizes: tuple[int, ...] = ()
    ) -> None:
        self.device = device
        self.sizes = sizes or (CUDA_SIZES if device.type == "cuda" else CPU_SIZES)
        self._detector = detector.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._profile = profile
        self.pads = device.type == "cuda"

    def batch_size(self, waiting: int) -> int:
        """All that wait, up to the largest size."""
        return min(waiting, self.sizes[-1])

    def example(self) -> DecodedImage:
        """A blank image."""
        return DecodedImage.blank(self._profile)

    def warm(self) -> None:
        """Run both networks once in every size, largest first, so that smaller sizes reuse the memory."""
        for size in reversed(self.sizes):
            for stage in STAGES:
                self.run(stage, [self.example()] * size)

    @torch.inference_mode()
    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K], see `detection_rows`."""
        count = len(self._profile.low) + (len(self._profile.high) if stage is Stage.HIGH else 0)
        batch = [*images, *self._padding(len(images))]
        values = torch.from_numpy(np.stack([image.decoded.values[:count] for image in batch]))
        steps = torch.from_numpy(np.stack([image.decoded.steps[:count] for image in batch]))
        coefficients = values.to(self.device).float() * steps.to(self.device)[:, :, None, None]
        coefficients = coefficients.contiguous(memory_format=torch.channels_last)
        network = self._detector.low if stage is Stage.LOW else self._detector.high
        return write_rows(network(coefficients)[: len(images)])

    def _padding(self, count: int) -> list[DecodedImage]:
        """Blank images that fill a batch of `count` up to a warmed size."""
        size = padded_size(count, self.sizes) if self.pads else count
        return [self.example()] * (size - count)
