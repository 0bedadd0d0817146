"""The upload that is as accurate as Overtone, as it was found and logged for a model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overtone.benchmarks.load.upload import Rival

LOGS = Path(__file__).resolve().parents[2] / "docs" / "runs"


class LogError(ValueError):
    """A log that cannot be read."""


@dataclass(frozen=True)
class Equal:
    """A rival of equal accuracy.

    Attributes:
        profile: id of the profile that it is compared with, in hexadecimal.
        n: calibration pictures.
        ours: top-1 of the cascade at its default quality and operating point, a fraction.
        rival, theirs, bytes: codec, side and quality; its top-1 and mean bytes.
        reached: whether it is as accurate; if none is, this is the most accurate.
    """

    profile: str
    n: int
    ours: float
    rival: Rival
    theirs: float
    bytes: float
    reached: bool

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"rival": str(self.rival)}


def log_of(model: str) -> Path:
    """Where the choice for a model is kept."""
    return LOGS / f"equal-{model}.json"


def logged(path: Path, profile: str) -> Equal | None:
    """What a log says; None if there is none, or it is about another profile.

    Raises:
        LogError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        equal = Equal(**found | {"rival": Rival.parse(found["rival"])})
    except (ValueError, LookupError, TypeError) as error:
        raise LogError(f"{path}: not a log of python -m overtone.benchmarks.sweep.fair ({error})") from None
    return equal if equal.profile == profile else None
