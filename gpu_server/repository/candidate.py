"""A candidate: a version of a model that gets a share of the traffic, as canary or shadow."""

from dataclasses import dataclass

from overtone.gpu_server.repository.model_folder import ModelId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version and its share of the traffic, from 0 to 1."""

    model: ModelId
    share: float

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """From NAME:VERSION=SHARE.

        Raises:
            ValueError: it is something else.
        """
        model, _, number = text.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError(f"{text!r} is not NAME:VERSION=SHARE, with a share from 0 to 1")
        return cls(ModelId.parse(model), share)
