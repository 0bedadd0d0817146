"""What a model is for: how a network's result becomes an answer, when more is asked for, and where in the image."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import LetterBox, Profile
from overtone.gpu_server.answer import Answer, Detection, Options, Score, TaskName
from overtone.gpu_server.engine.inference import Inference
from overtone.gpu_server.errors import BadRequest, WrongTask
from overtone.gpu_server.known import Known
from overtone.models.common_card import CardError

Point = TypeVar("Point")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an image's first layers mean.

    Attributes:
        wanted: up to which layer the answer takes them; the number of those that are here if it is final.
        confident: whether that is what the operating point takes for sure.
        top: of a classifier, the most probable classes, best first.
        detections: of a detector, what it has found.
        blocks: where further layers are wanted, as a packed block mask; empty if everywhere.
    """

    wanted: int
    confident: bool
    top: tuple[Score, ...] = ()
    detections: tuple[Detection, ...] = ()
    blocks: bytes = b""


class Task(ABC, Generic[Point]):
    """One of the two things that models do, with the card of one of them.

    Attributes:
        name: as the welcome of a session says it.
        letter_boxed: whether whole pictures are judged, each in the corner of a square; else their centres are.
        slow: whether judging takes so long that it must not be done on the event loop.
    """

    name: ClassVar[TaskName]
    letter_boxed: ClassVar[bool]
    slow: ClassVar[bool] = False

    def __init__(self, model: str, profile: Profile) -> None:
        self._model = model
        self.profile = profile
        self._points: dict[tuple[str, int | None], Point] = {}

    def check(self, options: Options) -> None:
        """Refuse options that cannot be met, before anything is decoded.

        Raises:
            WrongTask: another task was asked for.
            BadRequest: there is no such operating point.
        """
        if options.task not in (None, self.name) or (options.picture and not self.letter_boxed):
            raise WrongTask(f"{self._model} has the task {self.name}: {self.instead}")
        self.boxed(options)
        self.point(options)

    def boxed(self, options: Options) -> LetterBox | None:
        """Where a picture of the size that was told lies in an image.

        Raises:
            BadRequest: no picture has that size.
        """
        if options.picture is None:
            return None
        try:
            return LetterBox(self.profile.size, *options.picture)
        except ValueError as error:
            raise BadRequest(str(error)) from None

    def point(self, options: Options, quality: int | None = None) -> Point:
        """The operating point that was chosen, for a quality.

        Raises:
            BadRequest: there is no such operating point.
        """
        key = options.operating_point, quality
        if key not in self._points:  # there are few, as neither names nor qualities are invented by devices
            try:
                self._points[key] = self._find(options.operating_point or None, quality)
            except CardError as error:
                raise BadRequest(str(error)) from None
        return self._points[key]

    @property
    @abstractmethod
    def instead(self) -> str:
        """What to do for whoever has asked for the other task."""

    @abstractmethod
    def judge(self, layers: int, inference: Inference, options: Options) -> Verdict:
        """What a network's result after so many layers means."""

    @abstractmethod
    def agree(self, one: Answer, other: Answer) -> bool:
        """Whether two answers to the same image say the same."""

    @abstractmethod
    def remember(self, known: Known, row: NDArray[np.float32]) -> Known:
        """What is known, with what is needed of the low network's row once further layers come.

        That is a copy, because a row would keep the rows of its whole batch.
        """

    @abstractmethod
    def exit_share(self, options: Options, quality: int | None) -> float | None:
        """The share of images that the first layer answers, if the card knows it.

        Raises:
            BadRequest: the card has no such operating point.
        """

    @abstractmethod
    def _find(self, name: str | None, quality: int | None) -> Point:
        """An operating point of the card.

        Raises:
            CardError: there is no such point.
        """
