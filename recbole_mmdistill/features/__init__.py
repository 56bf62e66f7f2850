"""Item features: a self-describing file per modality, and their alignment by item token."""

from .align import AlignedFeatures, UnknownItems, align_features
from .join import join_features, take_items
from .locate import find_features, modalities_of
from .npy import read_npy
from .source import FeatureInfo, FeatureSource, from_array
from .store import open_features, verify_features, write_features

__all__ = [
    "AlignedFeatures",
    "FeatureInfo",
    "FeatureSource",
    "UnknownItems",
    "align_features",
    "find_features",
    "from_array",
    "join_features",
    "modalities_of",
    "open_features",
    "read_npy",
    "take_items",
    "verify_features",
    "write_features",
]
