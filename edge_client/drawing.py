"""Boxes, masks and labels drawn into a picture."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from overtone.edge_client.detection import Detection
from overtone.frequency import Source, open_rgb

# Colours of the classes in turn: colours that most people can tell apart, the most distinct ones first
# (Sasha Trubetskoy, "List of 20 Simple, Distinct Colors", 2017).
COLOURS = (
    "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45", "#fabed4",
    "#469990", "#dcbeff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#808000", "#ffd8b1", "#000075", "#a9a9a9",
)  # fmt: skip
# A smaller picture is enlarged until its longest side has so many pixels: labels need room.
LEAST_SIDE = 640
# The height of letters, and the width of lines, as shares of the longest side.
LETTERS, LINES = 1 / 45, 1 / 250
MASK_OPACITY = 0.45
# The number of further rows below a box in which a label is placed where boxes crowd.
FURTHER = 6

Corners = tuple[float, float, float, float]


def draw(picture: Source, detections: Sequence[Detection]) -> Image.Image:
    """The picture as RGB with a box for each object, its label and its probability; the most probable lie on top.

    Raises:
        ImageError: the picture cannot be read.
        ValueError: a mask is damaged.
    """
    image = _enlarged(open_rgb(picture))
    order = sorted(detections, key=lambda found: found.probability)
    for found in order:
        image = _with_mask(image, found)
    canvas = _Canvas(image)
    for found in order:
        canvas.box(found)
    for found in reversed(order):
        canvas.label(found)
    return image


def colour(index: int) -> str:
    """The colour of a class, as "#rrggbb"."""
    return COLOURS[index % len(COLOURS)]


class _Canvas:
    """Draws boxes and labels into an image, so that labels hide one another as little as possible."""

    def __init__(self, image: Image.Image) -> None:
        self._size = image.size
        self._draw = ImageDraw.Draw(image)
        self._width = max(2, round(LINES * max(image.size)))
        self._font = ImageFont.load_default(max(12, round(LETTERS * max(image.size))))
        self._taken: list[Corners] = []

    def box(self, found: Detection) -> None:
        """A line along the box, with a thin one around it that stands out from any background."""
        left, top, right, bottom = self._corners(found)
        own = colour(found.index)
        self._draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_contrast(own))
        self._draw.rectangle((left, top, right, bottom), outline=own, width=self._width)

    def label(self, found: Detection) -> None:
        """Class and probability on the class's colour, at the first of some places where no other label is hidden."""
        text, own = f"{found.label} {found.probability:.0%}", colour(found.index)
        begin_x, begin_y, end_x, end_y = self._draw.textbbox((0, 0), text, self._font)
        pad = self._width
        width, height = end_x - begin_x + 2 * pad, end_y - begin_y + 2 * pad
        places = [self._clamped(x, y, width, height) for x, y in self._candidates(found, width, height)]
        place = next(
            (each for each in places if not any(_overlap(each, taken) for taken in self._taken)), places[0]
        )
        self._taken.append(place)
        self._draw.rectangle(place, fill=own)
        origin = (place[0] + pad - begin_x, place[1] + pad - begin_y)
        self._draw.text(origin, text, fill=_contrast(own), font=self._font)

    def _candidates(self, found: Detection, width: float, height: float) -> Iterator[tuple[float, float]]:
        """Left upper corners for a label: on top of the box, in it, below it; at its left, then at its right.

        Where all of these are taken, further and further below.
        """
        left, top, right, bottom = self._corners(found)
        tops = [top, bottom - height, bottom] if top < height else [top - height, top, bottom]
        for y in tops:
            yield left, y
            yield right - width, y
        for step in range(1, FURTHER + 1):
            yield left, bottom + step * height

    def _clamped(self, x: float, y: float, width: float, height: float) -> Corners:
        """A label's corners, moved into the image."""
        x = max(0.0, min(x, self._size[0] - 1 - width))
        y = max(0.0, min(y, self._size[1] - 1 - height))
        return x, y, x + width, y + height

    def _corners(self, found: Detection) -> Corners:
        """The box in pixels, within the image."""
        (left, top, right, bottom), (width, height) = found.box, (self._size[0] - 1, self._size[1] - 1)
        return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _enlarged(image: Image.Image) -> Image.Image:
    scale = LEAST_SIDE / max(image.size)
    if scale <= 1:
        return image.copy()
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _with_mask(image: Image.Image, found: Detection) -> Image.Image:
    if found.mask is None:
        return image
    shade = Image.fromarray((found.mask.pixels() * round(255 * MASK_OPACITY)).astype(np.uint8))
    shade = shade.resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", image.size, colour(found.index)), image, shade)


def _contrast(background: str) -> str:
    """Black or white, whichever can be read on a colour (its luma by BT.601)."""
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"


def _overlap(one: Corners, other: Corners) -> bool:
    """Whether two rectangles overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
