"""Labelled images: where they come from, how they are split, and how they reach the network."""

from overtone.training.data.augmentation import Augment, Augmentation, View
from overtone.training.data.batches import Batches, EpochSampler, TestSet, TrainSet, ordered_loader
from overtone.training.data.datasets import DataSet, is_data, open_data
from overtone.training.data.downloads import DownloadError, fetch_imagenette
from overtone.training.data.images import DataError, Images, read_folder, read_unlabelled
from overtone.training.data.splits import read_split, split

__all__ = [
    "Augment",
    "Augmentation",
    "Batches",
    "DataError",
    "DataSet",
    "DownloadError",
    "EpochSampler",
    "Images",
    "TestSet",
    "TrainSet",
    "View",
    "fetch_imagenette",
    "is_data",
    "open_data",
    "ordered_loader",
    "read_folder",
    "read_split",
    "read_unlabelled",
    "split",
]
