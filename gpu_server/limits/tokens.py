"""The file of tokens: their hashes, names, roles and quotas."""

import hashlib
import json
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from overtone.gpu_server.limits.quota import Quota
from overtone.gpu_server.limits.role import Role

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_NAME = 64
# The names of tokens from the setting `tokens` begin with this, and a number follows.
UNNAMED = "#"


class TokenEntry(BaseModel):
    """The table of one token in the file; the name of the table is that of the token."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Tokens are 24 random bytes, which nobody can guess, so a fast hash hides them as well as a slow one would.
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    role: Role = Role.DEVICE
    images_per_second: PositiveFloat | None = None
    bytes_per_second: PositiveFloat | None = None
    sessions: PositiveInt | None = None

    @property
    def quota(self) -> Quota:
        """The limits of the entry."""
        return Quota(self.images_per_second, self.bytes_per_second, self.sessions)

    @model_validator(mode="after")
    def _only_devices_have_quotas(self) -> "TokenEntry":
        if self.role is not Role.DEVICE and self.quota != Quota():
            raise ValueError(f"quotas are for devices, and the role is {self.role}")
        return self


def digest(token: str) -> str:
    """The hash of a token, as the file has it."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(name: str, quota: Quota, role: Role = Role.DEVICE) -> tuple[str, str]:
    """A new token, and its lines for the file.

    Raises:
        ValueError: the name or a limit cannot be used.
    """
    token = f"ovt_{secrets.token_urlsafe(24)}"
    _entry(name, {"sha256": digest(token), "role": role, **asdict(quota)})
    lines = [f"[{name if _BARE_KEY.fullmatch(name) else json.dumps(name)}]", f'sha256 = "{digest(token)}"']
    lines += [f'role = "{role}"'] if role is not Role.DEVICE else []
    lines += [f"{key} = {value:g}" for key, value in asdict(quota).items() if value is not None]
    return token, "\n".join(lines) + "\n"


def read(path: Path) -> dict[str, TokenEntry]:
    """The entries of a file, by name.

    Raises:
        ValueError: it cannot be read, or is not valid; the message is one line that says where.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"{path}: {error}") from error
    try:
        entries = {name: _entry(name, table) for name, table in tables.items()}
        _check_different(entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return entries


def check_name(name: str) -> None:
    """Refuse names that would be hard to read in a log.

    Raises:
        ValueError: this is one.
    """
    if not (name.isprintable() and 0 < len(name) <= LONGEST_NAME) or name.startswith(UNNAMED):
        raise ValueError(
            f"a token's name has 1 to {LONGEST_NAME} printable characters and does not begin with {UNNAMED}"
        )


def _entry(name: str, table: Any) -> TokenEntry:
    check_name(name)
    try:
        return TokenEntry.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((name, *map(str, first["loc"])))
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _check_different(entries: Mapping[str, TokenEntry]) -> None:
    names: dict[str, str] = {}
    for name, entry in entries.items():
        other = names.setdefault(entry.sha256, name)
        if other != name:
            raise ValueError(f"{other} and {name} are the same token")
