"""The interface of a task: how a network's row becomes an answer, and when, and for which blocks, more is asked for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import LetterBox, Profile
from overtone.gpu_server.answer import Answer, Detection, Options, Score, TaskName
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Inference
from overtone.gpu_server.errors import BadRequest, WrongTask
from overtone.models.common_card import CardError

Point = TypeVar("Point")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A task's reading of a network's result after an image's first layers.

    Attributes:
        wanted: the number of the last layer that is wanted; that of the layers judged if the answer is final.
        confident: whether the answer reaches the threshold of the operating point.
        top: of a classifier, the most probable classes, best first.
        detections: of a detector, the objects.
        blocks: the blocks for which further layers are wanted, as a packed block mask; empty for all blocks.
    """

    wanted: int
    confident: bool
    top: tuple[Score, ...] = ()
    detections: tuple[Detection, ...] = ()
    blocks: bytes = b""


class Task(ABC, Generic[Point]):
    """What one model does, classification or detection, by its card.

    Attributes:
        name: of the task, as a session's welcome message has it.
        letter_boxed: whether a picture is taken whole, in the corner of a square; else its centre is cropped.
        slow: whether `judge` takes milliseconds, so that it must not run on the event loop.
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
            raise WrongTask(f"{self._model} has the task {self.name}: {self.hint}")
        self.letter_box(options)
        self.point(options)

    def letter_box(self, options: Options) -> LetterBox | None:
        """Where a picture of `options.picture` pixels lies in the square image; None without such a size.

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
    def hint(self) -> str:
        """A clause for clients that asked for the other task: what to send to whom."""

    @abstractmethod
    def judge(self, layers: int, inference: Inference, options: Options) -> Verdict:
        """The verdict on a network's result after the first so many layers."""

    @abstractmethod
    def agree(self, one: Answer, other: Answer) -> bool:
        """Whether two answers to the same image agree, as a shadow model is compared."""

    @abstractmethod
    def remember(self, image: DecodedImage, row: NDArray[np.float32]) -> DecodedImage:
        """The image with a copy of what further layers will need of the low network's row, float32[K].

        A copy, because the row itself is a view that would keep the rows of its whole batch alive.
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
