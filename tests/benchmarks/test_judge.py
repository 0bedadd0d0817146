"""The cascade on pixels."""

from pathlib import Path

import numpy as np

from overtone.benchmarks.sweep.judge import Judge
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.network import open_network


def test_the_judge_is_the_cascade(tiny_checkpoint: Path) -> None:
    network, card = open_network(tiny_checkpoint)
    judge = Judge(network, card)
    size = card.profile.size
    pictures = list(np.random.default_rng(0).integers(0, 255, (5, size, size, 3), dtype=np.uint8))
    bands = [judge._bands(picture) for picture in pictures]
    low, high = (network.run(stage, bands) for stage in (Stage.LOW, Stage.HIGH))
    asked = low.max(axis=1) < card.point(None, card.profile.quality).threshold
    expected = np.where(asked, high.argmax(axis=1), low.argmax(axis=1))
    assert judge.answers(pictures).tolist() == expected.tolist()
