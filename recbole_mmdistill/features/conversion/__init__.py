"""Item features in the formats that people have, and the conversion of any into any other."""

from .arrays import DEFAULT_DIM
from .convert import FORMATS, Conversion, convert
from .format import ROWS, Options
from .npy import read_npy

__all__ = ["DEFAULT_DIM", "FORMATS", "ROWS", "Conversion", "Options", "convert", "read_npy"]
