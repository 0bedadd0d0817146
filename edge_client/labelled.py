"""The server's answer with labels, which come from the profile or, if that has none, from the server."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from overtone.edge_client.answer import Answer, Score, Timings
from overtone.edge_client.detection import Detected, Detection
from overtone.edge_client.errors import ProtocolError
from overtone.edge_client.transport import RawAnswer, Upload

FoundT = TypeVar("FoundT", Score, Detection)


@dataclass(frozen=True)
class LabelledAnswer:
    """The server's answer to an upload, with the labels of the profile (empty if it has none) and the timings."""

    raw: RawAnswer
    labels: Sequence[str]
    upload: Upload
    timings: Timings

    def answer(self) -> Answer:
        """A classifier's answer.

        Raises:
            ProtocolError: the answer has a class that the profile does not have.
        """
        raw, top = self.raw, tuple(map(self._labelled, self.raw.top))
        best = top[0]
        return Answer(
            label=best.label,
            index=best.index,
            confidence=best.probability,
            top=top,
            stage=raw.stage,
            layers=raw.layers,
            confident=raw.confident,
            bytes_sent=self.upload.bytes_sent,
            timings=self.timings,
            model=raw.model,
            plan=self.upload.plan,
        )

    def detected(self) -> Detected:
        """A detector's answer.

        Raises:
            ProtocolError: the answer has a class that the profile does not have.
        """
        raw = self.raw
        return Detected(
            detections=tuple(map(self._labelled, raw.detections)),
            stage=raw.stage,
            layers=raw.layers,
            confident=raw.confident,
            bytes_sent=self.upload.bytes_sent,
            timings=self.timings,
            model=raw.model,
            plan=self.upload.plan,
        )

    def _labelled(self, found: FoundT) -> FoundT:
        labels = self.labels
        if not 0 <= found.index < len(labels) if labels else not found.label:
            raise ProtocolError("the server answered with a class that its profile does not have")
        return replace(found, label=labels[found.index]) if labels else found
