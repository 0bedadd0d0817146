"""The image folder of the trainer's tests."""

from tests.training.conftest import images

__all__ = ["images"]
