"""Generations of a model that several processes serve: a private copy of the file, and the socket of its engine.

Nobody replaces the copy, so a process that is started again loads the same model as the others. A model that is loaded
again gets a new generation, while sessions finish on the one before.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from overtone.models.any_card import read_any_card


@dataclass(frozen=True, slots=True)
class Generation:
    """One loading of the model.

    Attributes:
        number: from 0, one more whenever the model is loaded again.
        directory: the temporary folder that the server's processes share.
    """

    number: int
    directory: Path

    @classmethod
    def current(cls, directory: Path) -> "Generation":
        """The generation that was published last."""
        return cls(int(current_file(directory).read_text()), directory)

    @property
    def model(self) -> Path:
        """The copy of the model's file."""
        return self.directory / f"model-{self.number}.safetensors"

    @property
    def socket(self) -> Path:
        """The Unix socket on which the engine of this generation listens."""
        return self.directory / f"engine-{self.number}.sock"

    @property
    def next(self) -> "Generation":
        """The generation after this one."""
        return Generation(self.number + 1, self.directory)

    def copy(self, source: Path) -> None:
        """Copy the model's file.

        Raises:
            CheckpointError: the source is no checkpoint.
            OSError: it cannot be read, or there is no room for the copy.
        """
        read_any_card(source)
        shutil.copyfile(source, self.model)

    def publish(self) -> None:
        """Make this the current generation, which new sessions and requests use."""
        draft = self.directory / "generation.new"
        draft.write_text(str(self.number))
        os.replace(draft, current_file(self.directory))

    def remove(self) -> None:
        """Delete the copy and the socket."""
        self.model.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)


def current_file(directory: Path) -> Path:
    """The file that contains the number of the current generation."""
    return directory / "generation"
