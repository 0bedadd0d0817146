"""Checkpoints: safetensors files with a card. Nothing is unpickled, ever."""

import os
from importlib import metadata
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from overtone.models.body_cascade import build
from overtone.models.card import STALE, Card, CardError
from overtone.models.cascade import Cascade

# In the repository; where Overtone is installed they are the files of a distribution of their own.
SOURCE = Path(__file__).parent / "checkpoints"
DISTRIBUTION = "overtone-checkpoints"
CARD_KEY = "card"
# Networks to compare with, in the same folder; they have no card.
RIVAL = "rival-"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit its card."""


def bundled_files() -> dict[str, Path]:
    """Every safetensors file that comes with Overtone, networks to compare with among them, by name."""
    found = list(SOURCE.glob("*.safetensors")) or _installed_files()
    return {path.stem: path for path in sorted(found)}


def _installed_files() -> list[Path]:
    try:
        files = metadata.distribution(DISTRIBUTION).files or ()
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.suffix == ".safetensors"]


def bundled() -> dict[str, Path]:
    """The checkpoints that come with Overtone, by name; none where `overtone-checkpoints` is not installed."""
    return {name: path for name, path in bundled_files().items() if not name.startswith(RIVAL)}


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a bundled name, or the path itself.

    Raises:
        CheckpointError: neither a file nor a bundled name.
    """
    known = bundled()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    hint = f"one of {sorted(known)}" if known else f"a bundled name (pip install {DISTRIBUTION})"
    raise CheckpointError(f"{name_or_path}: no such checkpoint; give a .safetensors file or {hint}")


def read_card(name_or_path: str | os.PathLike[str], *, stale: bool = False) -> Card:
    """The card alone, without reading the weights.

    Args:
        name_or_path: of the checkpoint.
        stale: take certificates of another profile too; for who replaces them.

    Raises:
        CheckpointError: missing, damaged, or a card that does not hold together.
    """
    path = find(name_or_path)
    try:
        with safe_open(path, "pt") as file:
            return Card.model_validate_json((file.metadata() or {})[CARD_KEY], context={STALE: stale})
    except KeyError:
        raise CheckpointError(f"{path}: has no card; it was not written by Overtone") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: its card is not valid: {_one_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: its card is not valid: {error}") from error


def _one_line(error: ValidationError) -> str:
    """What pydantic says on many lines; an error of our own in its own words."""
    found = []
    for line in error.errors(include_url=False):
        own = line.get("ctx", {}).get("error")
        where = ".".join(str(part) for part in line["loc"])
        found.append(str(own) if isinstance(own, CardError) else f"{where}: {line['msg']}")
    return "; ".join(found)


def load(
    name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu", *, stale: bool = False
) -> tuple[Cascade, Card]:
    """The network in eval mode and float32, mixing as its card says, and its card.

    `stale` is as in `read_card`.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit the card's architecture.
    """
    card = read_card(name_or_path, stale=stale)
    path = find(name_or_path)
    model = build(card.architecture, card.mix)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: weights do not fit its card: {error}") from error
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), card


def save(path: str | os.PathLike[str], model: Cascade, card: Card, half: bool = True) -> None:
    """Write weights and card to one file, whole or not at all.

    With `half`, weights of convolutions and linear layers are stored as float16. Statistics and scales stay
    float32: they are small, and their range is the data's.
    """
    tensors = {
        k: stored(v, half) for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    _write(Path(path), tensors, card)


def rewrite(source: str | os.PathLike[str], card: Card, out: str | os.PathLike[str]) -> None:
    """The weights of `source`, bit for bit, under another card in `out`; whole or not at all.

    Raises:
        CheckpointError: `source` cannot be read.
    """
    path = find(source)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    _write(Path(out), tensors, card)


def _write(path: Path, tensors: dict[str, Tensor], card: Card) -> None:
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, {CARD_KEY: card.to_json()})
    # safetensors writes for the owner alone; a server usually runs as somebody else.
    temporary.chmod(0o644)
    temporary.replace(path)


def stored(value: Tensor, half: bool) -> Tensor:
    """A value as a file keeps it: on the CPU, with `half` convolutions and linear layers in float16."""
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.ndim in (2, 4) else value
