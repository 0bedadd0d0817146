"""A table of a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
