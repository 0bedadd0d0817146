"""What can be wrong with a payload or a profile."""


class FrequencyError(ValueError):
    """Base of the errors of this package; always safe to show to whoever sent the bytes."""


class PayloadError(FrequencyError):
    """A payload that is damaged, truncated, of the wrong band, or not a payload at all."""


class WrongProfileError(FrequencyError):
    """A payload written for another profile; fetch the server's profile and encode again."""


class ProfileError(FrequencyError):
    """A profile that does not hold together."""
