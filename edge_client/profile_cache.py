"""Profiles that have been fetched, so that a device on a thin link need not fetch one twice."""

import contextlib
import os
from pathlib import Path

from overtone.frequency import FrequencyError, Profile


class ProfileCache:
    """Profiles by id, in memory and, if there is a folder, on disk as well."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._profiles: dict[bytes, Profile] = {}

    def get(self, identity: bytes) -> Profile | None:
        """The profile with this id, or None; a damaged file counts as missing."""
        if identity not in self._profiles and self._folder is not None:
            with contextlib.suppress(OSError, FrequencyError):
                profile = Profile.from_json((self._folder / f"{identity.hex()}.json").read_bytes())
                if profile.id == identity:
                    self._profiles[identity] = profile
        return self._profiles.get(identity)

    def add(self, profile: Profile) -> None:
        """Add a profile; a folder that cannot be written is ignored."""
        self._profiles[profile.id] = profile
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = self._folder / f".{profile.id.hex()}.{os.getpid()}"
                partial.write_text(profile.to_json())
                partial.replace(self._folder / f"{profile.id.hex()}.json")

    def ids(self) -> list[bytes]:
        """Ids of all profiles that `get` may find."""
        on_disk: list[bytes] = []
        if self._folder is not None and self._folder.is_dir():
            with contextlib.suppress(ValueError, OSError):
                on_disk = [bytes.fromhex(path.stem) for path in self._folder.glob("[0-9a-f]*.json")]
        return sorted({*self._profiles, *on_disk})
