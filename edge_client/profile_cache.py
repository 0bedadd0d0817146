"""Profiles that have been fetched, so that a device on a thin link need not fetch one twice."""

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryFile

from overtone.edge_client.errors import UsageError
from overtone.frequency import FrequencyError, Profile, pack_part, unpack_part


class ProfileCache:
    """Profiles, or parts of them for one quality, by id; in memory and, if there is a folder, on disk as well.

    Args:
        folder: where to keep them.
        quality: the quality that parts are for; None is the default of each profile.
    """

    def __init__(self, folder: Path | None = None, quality: int | None = None) -> None:
        self._folder = folder
        self._suffix = f".{'default' if quality is None else quality}.part"
        self._profiles: dict[bytes, Profile] = {}

    def get(self, identity: bytes) -> Profile | None:
        """The profile with this id, or None; a damaged file counts as missing."""
        if identity not in self._profiles and self._folder is not None:
            for path in (self._path(identity, self._suffix), self._path(identity, ".json")):
                with contextlib.suppress(OSError, FrequencyError):
                    profile = _read(path)
                    if profile.id == identity:
                        self._profiles[identity] = profile
                        break
        return self._profiles.get(identity)

    def add(self, profile: Profile) -> None:
        """Add a profile, or a part in place of a smaller one; a folder that cannot be written is ignored."""
        self._profiles[profile.id] = profile
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = self._folder / f".{profile.id.hex()}.{os.getpid()}"
                partial.write_bytes(pack_part(profile) if profile.whole else profile.to_json().encode())
                partial.replace(self._path(profile.id, self._suffix if profile.whole else ".json"))

    def ids(self) -> list[bytes]:
        """Ids of all profiles that `get` may find."""
        on_disk: list[bytes] = []
        if self._folder is not None and self._folder.is_dir():
            with contextlib.suppress(ValueError, OSError):
                on_disk = [
                    bytes.fromhex(path.name.partition(".")[0])
                    for path in self._folder.glob("[0-9a-f]*")
                    if path.name.endswith((self._suffix, ".json"))
                ]
        return sorted({*self._profiles, *on_disk})

    def _path(self, identity: bytes, suffix: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{identity.hex()}{suffix}"


def check_cache(folder: Path) -> None:
    """Find out whether profiles can be kept in a folder; a client would ignore it silently if they could not.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except FileExistsError:
        raise UsageError(f"--cache {folder}: not a folder; name one, or a path that does not exist") from None
    except OSError as error:
        raise UsageError(f"--cache {folder}: cannot be written ({error.strerror}); name another") from error


def _read(path: Path) -> Profile:
    content = path.read_bytes()
    return Profile.from_json(content) if path.suffix == ".json" else unpack_part(content)
