"""Histories as offsets: pure numpy, nothing padded, nothing looped over.

All interactions stand in one flat order, by user and then by time. A *row* is what RecBole makes
of an interaction that has one before it: its target, and the stretch of at most L interactions
that end just before. A *window* is a stretch whose every position predicts the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """One row for each interaction with a history.

    Attributes
    ----------
    target : numpy.ndarray
        Where the target stands in the flat order, int64 ``[n_rows]``.
    start, length : numpy.ndarray
        Where the history begins, and its length, int64 ``[n_rows]`` each.
    """

    target: np.ndarray
    start: np.ndarray
    length: np.ndarray


class Windows(NamedTuple):
    """Stretches of the flat order whose positions predict the next.

    Attributes
    ----------
    start, length : numpy.ndarray
        Inputs are ``start .. start + length - 1``: int64 ``[n_windows]`` each.
    context : numpy.ndarray
        How many inputs at the window's beginning are read only; each of the others has the
        interaction after it as its target. int64 ``[n_windows]``.
    """

    start: np.ndarray
    length: np.ndarray
    context: np.ndarray


def flat_order(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Order interactions by user and then by time; those of one time stay as they are.

    Parameters
    ----------
    user, time : numpy.ndarray
        ``[n_interactions]`` each; time unrounded.

    Returns
    -------
    numpy.ndarray
        Positions of the interactions in the flat order, int64 ``[n_interactions]``.
    """
    by_time = np.argsort(time, kind="stable")
    return by_time[group_order(user.astype(np.uint32)[by_time])]


def group_order(number: np.ndarray) -> np.ndarray:
    """Order by small whole numbers, in linear time; equal ones stay as they are.

    numpy sorts 16-bit integers stably by radix, and all others by comparison.

    Parameters
    ----------
    number : numpy.ndarray
        Users' or groups' numbers, from 0 up, ``[n]``.

    Returns
    -------
    numpy.ndarray
        int64 ``[n]``.
    """
    order = np.argsort(number.astype(np.uint16), kind="stable")
    highest = number.max(initial=0)
    for shift in range(16, int(highest).bit_length(), 16):
        digit = (number >> shift).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def make_rows(user: np.ndarray, max_length: int) -> Rows:
    """Find every row.

    Parameters
    ----------
    user : numpy.ndarray
        Users in the flat order, ``[n_interactions]``.
    max_length : int
        L, the longest history.

    Returns
    -------
    Rows
        In the flat order of their targets.
    """
    begins = np.ones(len(user), dtype=bool)
    begins[1:] = user[1:] != user[:-1]
    target = np.flatnonzero(~begins)
    first = np.flatnonzero(begins)
    n_rows = np.diff(np.append(first, len(user))) - 1
    # In place, because at this moment the dataset is at its largest.
    length = np.repeat(first, n_rows)
    np.subtract(target, length, out=length)
    np.minimum(length, max_length, out=length)
    return Rows(target, target - length, length)


def make_rows_of_warm(user: np.ndarray, cold: np.ndarray, max_length: int) -> Rows:
    """Find every row whose history holds no cold item; cold ones are targets all the same.

    Parameters
    ----------
    user : numpy.ndarray
        Users in the flat order, ``[n_interactions]``.
    cold : numpy.ndarray
        Bool ``[n_interactions]``, whether an interaction's item is cold.
    max_length : int
        L, the longest history.

    Returns
    -------
    Rows
        In the flat order of their targets. ``target`` counts in it, but ``start`` counts in the
        flat order of the warm interactions alone: histories are to be cut from these.
    """
    n_warm = np.cumsum(~cold) - ~cold  # warm interactions before each one
    begins = np.ones(len(user), dtype=bool)
    begins[1:] = user[1:] != user[:-1]
    first = n_warm[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    length = np.minimum(n_warm - first, max_length)
    target = np.flatnonzero(length > 0)
    return Rows(target, n_warm[target] - length[target], length[target])


def make_windows(
    target: np.ndarray,
    max_length: int,
    context: int = 0,
    rng: np.random.Generator | None = None,
) -> Windows:
    """Cut the stretches in front of targets into windows that cover each target once.

    The cut is aligned at the end: the newest window is full, as histories are at evaluation, and
    the oldest takes what is left. With ``rng`` a stretch of more than L targets is cut at random:
    so that over the epochs a target is predicted from more and from less of what came before it.

    Parameters
    ----------
    target : numpy.ndarray
        Where targets stand in the flat order, int64 ``[n_targets]``, in any order. A user's first
        interaction is no target, so no stretch of targets reaches from one user into the next.
    max_length : int
        L, the longest window.
    context : int
        Below L. Windows of a stretch of more than L targets reach back over so many more inputs,
        as far as the stretch does, and have so many fewer targets.
    rng : numpy.random.Generator, optional
        Draws the length of each long stretch's oldest window. Such a stretch then has a window
        more, which may be empty: so the number of windows does not hang on the draw.

    Returns
    -------
    Windows
        In the flat order.
    """
    target = np.sort(target)
    if len(target) == 0:
        return Windows(target, target, target)
    starts_run = np.concatenate([[True], np.diff(target) != 1])
    first = target[starts_run]
    n_targets = np.diff(np.append(np.flatnonzero(starts_run), len(target)))
    is_long = n_targets > max_length
    step = np.where(is_long, max_length - context, max_length)
    n_windows = -(-n_targets // step)
    short = n_targets - (n_windows - 1) * step
    if rng is not None:
        short = np.where(is_long, rng.integers(1, step + 1), short)
        n_windows = n_windows + is_long
    run = np.repeat(np.arange(len(first)), n_windows)
    # The first window of a run is numbered 0; it may be short, and after a draw so may the last.
    number = np.arange(len(run)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    begin = np.where(number == 0, 0, short[run] + (number - 1) * step[run])
    end = np.minimum(short[run] + number * step[run], n_targets[run])
    n_predicted = np.maximum(end - begin, 0)
    read_only = np.where(n_predicted > 0, np.minimum(begin, context), 0)
    begin = first[run] + np.minimum(begin, n_targets[run] - 1)
    return Windows(begin - 1 - read_only, n_predicted + read_only, read_only)


def fill_gaps(target: np.ndarray, start: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Give stretches of targets, one a user, where a user's targets do not all stand together.

    Parameters
    ----------
    target, start : numpy.ndarray
        Where targets stand in the flat order, in any order, and their histories begin: int64
        ``[n_targets]`` each.
    user : numpy.ndarray
        The targets' users, ``[n_targets]``.

    Returns
    -------
    numpy.ndarray
        Positions in the flat order, int64 ``[n_positions]``: all from the second interaction of
        the history of a user's first target up to the last target.
    """
    if not len(target):
        return target
    order = np.argsort(target)
    target, start, user = target[order], start[order], user[order]
    ends = np.append(np.flatnonzero(user[1:] != user[:-1]), len(user) - 1)
    first = np.append(0, ends[:-1] + 1)
    begin = start[first] + 1
    size = target[ends] - begin + 1
    offset = np.cumsum(size) - size
    return np.arange(size.sum()) + np.repeat(begin - offset, size)


def padded_positions(start: np.ndarray, length: np.ndarray, width: int) -> np.ndarray:
    """Positions of stretches in the flat order, -1 where a stretch has ended.

    Parameters
    ----------
    start, length : numpy.ndarray
        int64 ``[n]`` each.
    width : int
        Columns of the result.

    Returns
    -------
    numpy.ndarray
        int64 ``[n, width]``.
    """
    column = np.arange(width)
    return np.where(column < length[:, None], start[:, None] + column, -1)
