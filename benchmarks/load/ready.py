"""What a load sends, made ready beforehand, and what becomes of each picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overtone.benchmarks.load.upload import Rival
from overtone.edge_client import EncodedImage, encode_image
from overtone.edge_client.image_files import class_names, truth
from overtone.edge_client.stage import Stage
from overtone.frequency import Profile


@dataclass(frozen=True)
class Parcel:
    """A picture ready to be sent: payloads or, for a rival, a file; and the index of its class, if known."""

    coded: EncodedImage | bytes
    truth: int | None
    encode_ms: float


@dataclass(frozen=True)
class Shot:
    """How one picture ended.

    Attributes:
        latency_ms: from the first byte sent to the answer; encoding, done beforehand, is not in it.
        encode_ms: what encoding took.
        stage: which network answered.
        right: whether the answer is, None where the picture's folder does not tell.
        payload: bytes of payloads (of the rival's file) sent.
        high: those of them that were high's.
        up, down: TCP payload the device's link delivered since its last picture.
        queue_ms, compute_ms: as the server says.
    """

    latency_ms: float
    encode_ms: float
    stage: Stage
    right: bool | None
    payload: int
    high: int
    up: int
    down: int
    queue_ms: float
    compute_ms: float


def prepare(
    profile: Profile,
    classes: Sequence[str],
    paths: Sequence[Path],
    *,
    quality: int | None = None,
    rival: Rival | None = None,
) -> list[Parcel]:
    """Encode pictures, so that under load the generator only sends.

    Args:
        profile: the served model's.
        classes: folder names of the model's classes, in the order of its labels.
        paths: of the pictures.
        quality: one of the profile's; None is its default.
        rival: make files of this kind instead.
    """
    names = class_names(profile.labels, classes)
    parcels = []
    for path in paths:
        label = truth(path, names)
        index = None if label is None else profile.labels.index(label)
        if rival is None:
            coded = encode_image(path, profile, quality)
            parcels.append(Parcel(coded, index, coded.milliseconds))
        else:
            body, milliseconds = rival.encode(path)
            parcels.append(Parcel(body, index, milliseconds))
    return parcels
