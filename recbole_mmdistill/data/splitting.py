"""RecBole's splits by user without its loops over interactions: the same rows in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from .sequences import group_order


class Parts(NamedTuple):
    """Rows in parts.

    Attributes
    ----------
    rows : numpy.ndarray
        All rows, one part after the other, int64 ``[n_rows]``.
    size : numpy.ndarray
        Number of rows of each part, int64 ``[n_parts]``.
    """

    rows: np.ndarray
    size: np.ndarray


class Groups:
    """Rows of each user, users in the order of their first row and rows in their own order.

    Parameters
    ----------
    user : numpy.ndarray
        Each row's user, ``[n_rows]``.
    """

    def __init__(self, user: np.ndarray) -> None:
        code, _ = pd.factorize(user)
        self.rows = group_order(code)
        self.size = np.bincount(code) if len(code) else np.zeros(0, dtype=np.int64)

    def cut(self, ends: np.ndarray) -> Parts:
        """Cut every group at the same number of places.

        Parameters
        ----------
        ends : numpy.ndarray
            ``[n_groups, n_parts - 1]``, where a part ends and the next begins, rising.

        Returns
        -------
        Parts
        """
        n_parts = ends.shape[1] + 1
        bounds = np.column_stack([np.zeros_like(self.size), ends, self.size])
        part = np.tile(np.arange(n_parts, dtype=np.int8), len(self.size))
        part = np.repeat(part, np.diff(bounds, axis=1).ravel())
        return Parts(self.rows[group_order(part)], np.bincount(part, minlength=n_parts))


def leave_one_out(user: np.ndarray, mode: str) -> Parts:
    """Rows of the three splits of ``LS``: each user's last row, or last two, are held out.

    Parameters
    ----------
    user : numpy.ndarray
        Each row's user, rows in the order of time.
    mode : str
        ``valid_and_test``, ``valid_only`` or ``test_only``.

    Returns
    -------
    Parts
        For training, validation and test.

    Raises
    ------
    NotImplementedError
        There is no such mode.
    """
    if mode not in ("valid_and_test", "valid_only", "test_only"):
        raise NotImplementedError(f"The leave_one_mode [{mode}] has not been implemented.")
    groups = Groups(user)
    held_out = np.minimum(2 if mode == "valid_and_test" else 1, np.maximum(groups.size - 1, 0))
    test = np.where(groups.size - held_out < groups.size, groups.size - 1, groups.size)
    if mode == "valid_only":
        ends = np.stack([groups.size - held_out, groups.size], axis=1)
    elif mode == "test_only":
        ends = np.stack([groups.size - held_out] * 2, axis=1)
    else:
        ends = np.stack([groups.size - held_out, test], axis=1)
    return groups.cut(ends)


def by_ratio(user: np.ndarray, n_parts: int, split_ids: Callable[[int], Sequence[int]]) -> Parts:
    """Rows of each part of ``RS`` grouped by user.

    Parameters
    ----------
    user : numpy.ndarray
        Each row's user, rows in the order of time.
    n_parts : int
        How many parts.
    split_ids : callable
        RecBole's rule: size of a group to the places where it is cut.

    Returns
    -------
    Parts
    """
    groups = Groups(user)
    sizes, which = np.unique(groups.size, return_inverse=True)
    ends = np.array([split_ids(int(size)) for size in sizes], dtype=np.int64)
    return groups.cut(ends.reshape(len(sizes), n_parts - 1)[which.ravel()])


def by_time(user: np.ndarray, time: np.ndarray, ratios: Sequence[float]) -> Parts:
    """Rows of the three splits of ``TS``.

    Test is what lies after the last ratio's quantile of time; of each user's other rows the first
    are for training, in the proportion of the first two ratios.

    Parameters
    ----------
    user, time : numpy.ndarray
        Each row's user and time, rows in the order of time.
    ratios : sequence of float
        Three, with the sum 1.

    Returns
    -------
    Parts
        For training, validation and test.
    """
    groups = Groups(user)
    boundary = np.percentile(time, 100 * (1 - ratios[-1]))
    is_early = (time[groups.rows] <= boundary).astype(np.int64)
    n_early = np.add.reduceat(is_early, np.cumsum(groups.size) - groups.size)
    n_train = (n_early * (ratios[0] / (1 - ratios[2]))).astype(np.int64)
    return groups.cut(np.stack([n_train, n_early], axis=1))


def by_part(part: np.ndarray, n_parts: int) -> Parts:
    """Rows of each part, where every row says which it is of.

    Parameters
    ----------
    part : numpy.ndarray
        Each row's part, rows in the order of time, ``[n_rows]``.
    n_parts : int
        How many parts.

    Returns
    -------
    Parts
        Rows of a part keep their order.
    """
    return Parts(group_order(part), np.bincount(part, minlength=n_parts))


def move_to_last(parts: Parts, chosen: np.ndarray) -> Parts:
    """Move rows into the last part, behind those that are there; each part keeps its order.

    Parameters
    ----------
    parts : Parts
        Rows in parts.
    chosen : numpy.ndarray
        Bool ``[n]``, whether the row of this number is moved.

    Returns
    -------
    Parts
    """
    last = len(parts.size) - 1
    part = np.repeat(np.arange(last + 1), parts.size)
    moved = chosen[parts.rows] & (part < last)
    part[moved] = last + 1
    rows = parts.rows[group_order(part)]
    size = np.bincount(part, minlength=last + 2)
    return Parts(rows, np.append(size[:last], size[last] + size[last + 1]))
