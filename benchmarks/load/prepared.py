"""Images encoded before a load test, and the sample that is measured for each one sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overtone.benchmarks.load.baseline import Baseline
from overtone.edge_client import EncodedImage, encode_image
from overtone.edge_client.image_files import truth
from overtone.edge_client.stage import Stage
from overtone.edge_client.task import Task
from overtone.frequency import Profile


@dataclass(frozen=True)
class PreparedImage:
    """An image ready to be sent: payloads or, for a baseline, a file; and its class index, if known."""

    coded: EncodedImage | bytes
    truth: int | None
    encode_ms: float


@dataclass(frozen=True)
class Sample:
    """The measurement of one answered image.

    Attributes:
        latency_ms: from the first byte sent to the answer; encoding is done beforehand and not included.
        encode_ms: what encoding took.
        stage: which network answered.
        layers: how many layers the answer is made of; 0 for a baseline's file.
        correct: whether the answer is, None where the image's folder does not tell.
        payload: bytes of payloads (or of the baseline's file) sent.
        by_layer: those of them that belong to each layer, if none was sent twice.
        up, down: TCP payload that the device's link delivered since its last image.
        queue_ms, compute_ms: as the server reports them.
        wire_up, wire_down: bytes on the wire of that link since its last image: headers and acknowledgements of
            TCP and IP included, see `overtone.link.tcp_overhead`.
    """

    latency_ms: float
    encode_ms: float
    stage: Stage
    layers: int
    correct: bool | None
    payload: int
    by_layer: Sequence[int]
    up: int
    down: int
    queue_ms: float
    compute_ms: float
    wire_up: int
    wire_down: int


def prepare(
    profile: Profile,
    names: Mapping[str, str],
    paths: Sequence[Path],
    *,
    quality: int | None = None,
    baseline: Baseline | None = None,
    task: Task = "classify",
) -> list[PreparedImage]:
    """Encode images for a profile, or as a baseline's files, so that under load the generator only sends.

    `names` are the model's labels by folder name, see `edge_client.image_files.class_names`; they say nothing of what a
    detector should find.
    """
    prepared = []
    for path in paths:
        label = truth(path, names) if task == "classify" else None
        index = None if label is None else profile.labels.index(label)
        if baseline is None:
            coded = encode_image(path, profile, quality, task=task)
            prepared.append(PreparedImage(coded, index, coded.milliseconds))
        else:
            body, milliseconds = baseline.encode(path, task)
            prepared.append(PreparedImage(body, index, milliseconds))
    return prepared
