"""Errors of payloads and profiles."""


class FrequencyError(ValueError):
    """Base of the errors of this package. Their messages may be shown to whoever sent the bytes."""


class PayloadError(FrequencyError):
    """A payload that is damaged, truncated, of the wrong band, or no payload at all."""


class WrongProfileError(FrequencyError):
    """A payload that was written for another profile: fetch the server's profile and encode again."""


class ProfileError(FrequencyError):
    """A profile that is incomplete or contradicts itself."""
