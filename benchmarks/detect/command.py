"""The command `overtone bench bytes --task detect`: AP50 against bytes, of Overtone and of baselines.

Every reported setting was chosen on the calibration part of `train/`, for Overtone and for the baselines alike; all
reported numbers are of `val/`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table

from overtone import command
from overtone.benchmarks.curve.baselines import QUALITIES, TITLES, Codec, Setting
from overtone.benchmarks.curve.comparison import BEST
from overtone.benchmarks.curve.delta_rate import CurveError, Point, compare, frontier, thinned
from overtone.benchmarks.curve.result_cache import ResultCache, fingerprint
from overtone.benchmarks.detect import ours
from overtone.benchmarks.detect.ours import Scored, Way
from overtone.benchmarks.detect.rivals import Answers, Pair, Rival
from overtone.models import choose_device, find
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import load_detector
from overtone.models.detection.detector import Detector, PixelDetector
from overtone.models.detection.operating_point import NEVER, DetectionPoint
from overtone.training import weights
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.pictures import Pictures, read_pictures

Document = dict[str, Any]
CODECS: tuple[Codec, ...] = ("jpeg", "webp", "avif")
# Longest sides of pictures that are sent, as shares of the detector's square.
SIDES = (0.4, 0.55, 0.75, 1.0)
AGAIN = "regions sent again"
# The pairs that are tried are made of so many first and second pictures, and of these doubts.
FIRSTS, SECONDS = 3, 3
RULES = ((0.1, NEVER), (0.1, 0.8), (0.2, 0.8))
K = TypeVar("K")


@dataclass(frozen=True)
class Options:
    """The options: `images` is how many of each part, None for all."""

    checkpoint: str
    baseline: str
    images: int | None = None
    workers: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Setup:
    """Both detectors, the pictures to choose and to report on, and where results are kept."""

    detector: Detector
    card: DetectorCard
    baseline: PixelDetector
    name: str
    size: int
    ids: tuple[str, str]
    parts: Mapping[str, Pictures]
    cache: ResultCache
    workers: int

    def rival(self, part: str) -> Rival:
        """The baseline on a part of the data."""
        return Rival(self.baseline, self.size, self.parts[part])

    def kept(self, who: int, part: str, what: Mapping[str, Any], made: Callable[[], Scored]) -> Scored:
        """A score of one of the two, measured unless it was before."""
        key = {"detector": self.ids[who], "part": part, "n": len(self.parts[part])} | dict(what)
        if key not in self.cache:
            self.cache.add(key, asdict(made()))
        return Scored(**self.cache[key])


def run(data: Path, out: Path, options: Options, as_json: bool = False) -> None:
    """Measure, print a table or JSON, and write detect.json into `out`.

    Raises:
        ValueError: no such checkpoint, baseline or folder, or detectors of different classes.
        KeyboardInterrupt: what was measured is kept in `out`; the same command continues from there.
    """
    console = command.console(stderr=as_json)
    setup = open_setup(data, out, options)
    try:
        document = _measure(setup, data)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command continues from what is in {out}") from None
    (out / "detect.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    if as_json:
        print(json.dumps(document))
    else:
        console.print(_table(document))
        console.print(f"wrote detect.json in {out}", soft_wrap=True)


def open_setup(data: Path, out: Path, options: Options) -> Setup:
    """Load both detectors and find the pictures.

    Raises:
        ValueError: as `run`.
    """
    device, files = choose_device(options.device), (find(options.checkpoint), find(options.baseline))
    (detector, card), baseline = load_detector(files[0], device), detector_file.load(files[1])
    if not isinstance(baseline.detector, PixelDetector):
        raise weights.WeightsError(f"{files[1]}: a baseline reads pictures, this detector channels")
    if baseline.classes != card.classes:
        raise weights.WeightsError(f"{files[1]}: trained for other classes than {options.checkpoint}")
    parts = {name: _some(read_pictures(data, name), options.images) for name in ("calibration", "val")}
    for name, part in parts.items():
        if part.classes != card.classes:
            raise DataError(f"{data}: {name} has other classes than {options.checkpoint}")
        if not len(part):
            raise DataError(f"{data}: settings are chosen on a tenth of train/, which has too few pictures")
    ids = fingerprint(files[0].read_bytes()), fingerprint(files[1].read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    cache = ResultCache(out / "measured.jsonl")
    rival = baseline.detector.to(device)
    return Setup(detector, card, rival, baseline.name, baseline.size, ids, parts, cache, options.workers)


def _some(pictures: Pictures, count: int | None) -> Pictures:
    if count is None or count >= len(pictures):
        return pictures
    return pictures.take([i * len(pictures) // count for i in range(count)])


def _measure(setup: Setup, data: Path) -> Document:
    chosen = _chosen(_ours(setup, "calibration", ours.ways(setup.card.profile)))
    mine = _ours(setup, "val", chosen)
    singles = _singles(setup, "calibration", settings(setup.size))
    best = [setting for codec in CODECS for setting in _chosen(_of(singles, codec))]
    pairs = _chosen(_pairs(setup, "calibration", pairs_of(singles)))
    whole, twice = _singles(setup, "val", best), _pairs(setup, "val", pairs)
    rivals = {TITLES[codec]: _of(whole, codec) for codec in CODECS if _of(whole, codec)}
    everyone: dict[str, Mapping[Any, Scored]] = {**rivals, AGAIN: twice}
    ratios = {name: _ratio(mine, found) for name, found in everyone.items()}
    return {
        "task": "detect",
        "checkpoint": setup.card.name,
        "rival": setup.name,
        "data": f"{data.name}/val",
        "n": len(setup.parts["val"]),
        "calibrated_on": len(setup.parts["calibration"]),
        "ratio": _ratio(mine, {key: s for found in everyone.values() for key, s in found.items()}),
        "ratios": ratios,
        "ours": [_document(scored) | way.document for way, scored in mine.items()],
        "rivals": [
            {"rival": name} | _document(scored) | key.document
            for name, found in everyone.items()
            for key, scored in found.items()
        ],
    }


def settings(size: int) -> list[Setting]:
    """All ways to send a whole picture that are tried."""
    sides = [round(share * size) for share in SIDES]
    return [
        Setting(codec, side, quality) for codec in CODECS for side in sides for quality in QUALITIES[codec]
    ]


def pairs_of(singles: Mapping[Setting, Scored]) -> list[Pair]:
    """Pairs of settings on the frontier of all codecs: the coarsest first, the finest again."""
    curve = _chosen(singles)
    rules = [DetectionPoint(name="tried", unsure=unsure, sure=sure) for unsure, sure in RULES]
    return [
        Pair(first, second, rule)
        for first, second, rule in product(curve[:FIRSTS], curve[-SECONDS:], rules)
        if singles[first].sent < singles[second].sent
    ]


def _ours(setup: Setup, part: str, ways: Sequence[Way]) -> dict[Way, Scored]:
    """Scores of ways; those of a quality are measured together."""
    pictures, fresh = setup.parts[part], dict[Way, Scored]()

    def made(way: Way) -> Scored:
        if way not in fresh:
            own = [each for each in ways if each.quality == way.quality]
            fresh.update(ours.score(setup.detector, setup.card.profile, pictures, own, setup.workers))
        return fresh[way]

    return {way: setup.kept(0, part, way.document, partial(made, way)) for way in ways}


def _singles(setup: Setup, part: str, tried: Sequence[Setting]) -> dict[Setting, Scored]:
    rival = setup.rival(part)

    def made(setting: Setting) -> Scored:
        return _scored(rival, rival.once(setting))

    return {s: setup.kept(1, part, s.document, partial(made, s)) for s in tried}


def _pairs(setup: Setup, part: str, tried: Sequence[Pair]) -> dict[Pair, Scored]:
    rival, known = setup.rival(part), dict[Setting, Answers]()

    def made(pair: Pair) -> Scored:
        if pair.first not in known:
            known[pair.first] = rival.once(pair.first)
        return _scored(rival, rival.again(pair, known[pair.first]))

    return {p: setup.kept(1, part, p.document, partial(made, p)) for p in tried}


def _scored(rival: Rival, answers: Answers) -> Scored:
    return Scored(float(answers.sent.mean()), rival.ap50(answers), 1.0)


def _of(found: Mapping[Setting, Scored], codec: Codec) -> dict[Setting, Scored]:
    return {setting: scored for setting, scored in found.items() if setting.codec == codec}


def _points(found: Mapping[K, Scored]) -> list[Point]:
    return [Point(scored.sent, scored.ap50, {"key": key}) for key, scored in found.items()]


def _chosen(found: Mapping[K, Scored]) -> list[K]:
    """What is on the frontier, by rising bytes."""
    return [point.settings["key"] for point in thinned(frontier(_points(found)))]


def _ratio(mine: Mapping[Any, Scored], theirs: Mapping[Any, Scored]) -> float | None:
    """Our bytes over theirs at equal AP50; None if the curves have none in common."""
    try:
        return compare(_points(mine), _points(theirs)).ratio
    except CurveError:
        return None


def _document(scored: Scored) -> Document:
    return {"bytes": scored.sent, "ap50": scored.ap50, "blocks": scored.blocks}


def _table(found: Document) -> Table:
    title = f"{found['checkpoint']} against {found['rival']} on {found['data']}: {found['n']} pictures"
    table = Table(title=title, title_justify="left")
    for name in ("who", "setting", "AP50", "bytes", "ours over theirs"):
        table.add_column(name, justify="left" if name in ("who", "setting") else "right")
    for row in found["ours"]:
        table.add_row("Overtone", _setting(row), *_numbers(row), "")
    for row in found["rivals"]:
        table.add_row(row["rival"], _setting(row), *_numbers(row), _number(found["ratios"][row["rival"]]))
    table.add_row(BEST, "", "", "", _number(found["ratio"]))
    return table


def _numbers(row: Document) -> tuple[str, str]:
    return f"{row['ap50']:.1%}", f"{row['bytes']:.0f}"


def _number(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _setting(row: Document) -> str:
    doubt = f", in doubt from {row['unsure']:g} to {min(row['sure'], 1):g}" if "unsure" in row else ""
    if "first" in row:
        first, second = (
            f"{s['codec']} {s['side']} px, {s['quality']}" for s in (row["first"], row["second"])
        )
        return f"{first}; then {second}{doubt}"
    if "layers" in row:
        return f"quality {row['quality']}, {row['layers']} layers{doubt}"
    return f"{row['side']} px, quality {row['quality']}"
