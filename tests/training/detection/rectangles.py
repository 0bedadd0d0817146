"""Pictures of red and blue rectangles on grey, in COCO's format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220)}
Annotation = dict[str, Any]


def rectangles(root: Path, train: int = 12, val: int = 3, masks: bool = False) -> Path:
    """A folder with train/, val/ and their annotations; pictures of 64 x 48 and 48 x 64 with two things each."""
    rng = np.random.default_rng(5)
    for split, count in (("train", train), ("val", val)):
        (root / split).mkdir(parents=True)
        images, annotations = list[Annotation](), list[Annotation]()
        for number in range(count):
            width, height = (64, 48) if number % 2 else (48, 64)
            pixels = rng.integers(110, 146, (height, width, 3)).astype(np.uint8)
            for category, colour in enumerate(COLOURS.values(), 1):
                box = _box(rng, category, width, height)
                x, y, w, h = box
                pixels[y : y + h, x : x + w] = colour
                annotations.append(_annotation(len(annotations) + 1, number, category, box, masks))
            Image.fromarray(pixels).save(root / split / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        write(root / f"{split}.json", images, annotations)
    return root


def write(path: Path, images: list[Annotation], annotations: list[Annotation]) -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate(COLOURS, 1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def _box(rng: np.random.Generator, category: int, width: int, height: int) -> tuple[int, int, int, int]:
    """In the left half, or in the right one."""
    half = width // 2
    w, h = int(rng.integers(14, half - 2)), int(rng.integers(16, height - 10))
    x, y = int(rng.integers(half - w)), int(rng.integers(height - h))
    return x + (category - 1) * half, y, w, h


def _annotation(
    number: int, image: int, category: int, box: tuple[int, int, int, int], masks: bool
) -> Annotation:
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    found = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": w * h,
        "iscrowd": 0,
    }
    return found | {"segmentation": [[float(v) for v in polygon]]} if masks else found
