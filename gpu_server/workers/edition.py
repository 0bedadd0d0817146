"""A model as several processes serve it: a copy of its file, which nobody replaces, and the socket of its engine.

So whenever a process is started again, it has the same model as the others.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from overtone.gpu_server.repository.cards import read_any


@dataclass(frozen=True, slots=True)
class Edition:
    """One of the models that a server has served; `directory` is that of its processes."""

    number: int
    directory: Path

    @classmethod
    def current(cls, directory: Path) -> "Edition":
        """The one that was published last."""
        return cls(int(announcement(directory).read_text()), directory)

    @property
    def model(self) -> Path:
        """The copy."""
        return self.directory / f"model-{self.number}.safetensors"

    @property
    def socket(self) -> Path:
        """Where its engine listens."""
        return self.directory / f"engine-{self.number}.sock"

    @property
    def next(self) -> "Edition":
        """The one after it."""
        return Edition(self.number + 1, self.directory)

    def copy(self, source: Path) -> None:
        """Make the copy.

        Raises:
            CheckpointError: it is no checkpoint.
            OSError: it cannot be read, or there is no room for it.
        """
        read_any(source)
        shutil.copyfile(source, self.model)

    def publish(self) -> None:
        """Have what begins now use this edition."""
        draft = self.directory / "edition.new"
        draft.write_text(str(self.number))
        os.replace(draft, announcement(self.directory))

    def remove(self) -> None:
        """Delete the files."""
        self.model.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)


def announcement(directory: Path) -> Path:
    """The file that says which edition is the current one."""
    return directory / "edition"
