"""Items' vectors as they are kept: in float32, in half of it, or in a quarter."""

from __future__ import annotations

import numpy as np

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
DTYPES = (FLOAT32, FLOAT16, INT8)


class Table:
    """Vectors of all items, made float32 where they are asked for.

    Parameters
    ----------
    values : numpy.ndarray
        float32, float16 or int8 ``[n_items, D]``; it may be mapped from a file.
    scales : numpy.ndarray, optional
        Of int8: what each item's numbers are multiplied with, float32 ``[n_items]``.
    """

    def __init__(self, values: np.ndarray, scales: np.ndarray | None = None) -> None:
        self.values = values
        self.scales = scales

    def part(self, numbers: slice | np.ndarray) -> np.ndarray:
        """Give the vectors of some items, float32 ``[n, D]``; not to be written to."""
        values = self.values[numbers]
        if self.scales is not None:
            return values * self.scales[numbers, None]
        return values if values.dtype == np.float32 else values.astype(np.float32)


def compress(vectors: np.ndarray, dtype: str) -> Table:
    """Make a table.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32 ``[n_items, D]``.
    dtype : str
        One of :data:`DTYPES`; int8 has a scale for each item, so that its largest number is 127.
    """
    if dtype != INT8:
        return Table(vectors.astype(dtype, copy=False))
    scales = np.abs(vectors).max(1) / 127
    values = np.rint(vectors / np.maximum(scales, 1e-30)[:, None]).astype(np.int8)
    return Table(values, scales.astype(np.float32))
