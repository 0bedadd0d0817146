import numpy as np

from overtone.benchmarks.codec.sizes import mean_bytes


def test_coarser_steps_cost_fewer_bytes() -> None:
    rng = np.random.default_rng(0)
    maps = rng.laplace(scale=40, size=(6, 24, 4, 4)).astype(np.float32)
    fine, coarse = mean_bytes(maps[:3], maps[3:], 8), mean_bytes(maps[:3], maps[3:], 64)
    assert fine[0] > coarse[0] > 11
    assert fine[1] > coarse[1] > 10
