"""Profiles with another ladder."""

from dataclasses import replace

from overtone.frequency import Layer, Profile, prior_tables


def with_ladder(profile: Profile, ladder: tuple[Layer, ...], **changes: object) -> Profile:
    """The profile with this ladder and the prior tables of it."""
    tables = prior_tables(profile.low + profile.high, len(profile.low), ladder, len(profile.qualities))
    return replace(profile, ladder=ladder, tables=tables, **changes)  # type: ignore[arg-type]
