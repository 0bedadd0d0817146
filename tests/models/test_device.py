import pytest
import torch

from overtone.models import choose_device


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="not a device"):
        choose_device("toaster")
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ValueError, match="no CUDA"):
            choose_device("cuda")
