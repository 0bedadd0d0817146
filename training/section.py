"""The base class of tables in a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a recipe: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
