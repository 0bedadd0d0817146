from dataclasses import replace
from pathlib import Path

from overtone.frequency import Profile, encode, fit, open_rgb
from overtone.training.codec.tables import tables_for
from overtone.training.data import read_split


def test_fitted_tables_beat_made_up_ones(tiny_profile: Profile, images: Path) -> None:
    p = tiny_profile
    fitted = replace(
        p, tables=tables_for(read_split(images, "train"), p.size, p.steps, p.low, p.high, effort=0.02)
    )
    rgb = fit(open_rgb(images / "val" / "warm" / "0.jpg"), p.size)
    assert encode(rgb, fitted).size < encode(rgb, p).size
