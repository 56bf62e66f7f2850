"""Whether one model is better than others, by tests of scipy and corrections of statsmodels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

_RESAMPLES = 9999
_SEED = 2023


class Gain(NamedTuple):
    """How much better a model is than another on the same test rows.

    Attributes
    ----------
    relative : float
        ``mean / mean of the other - 1``; infinite if the other has 0.
    p : float
        Two-sided p-value, corrected for the number of comparisons (Holm).
    """

    relative: float
    p: float


def compare(
    ours: np.ndarray, others: Sequence[np.ndarray], users: Sequence[str] | np.ndarray
) -> list[Gain]:
    """Compare a model with others, user by user.

    A paired permutation test (scipy) of the rows' means over seeds: under the null hypothesis the
    two values of all of a user's rows could as well be exchanged. Rows of one user are exchanged
    together, because they are alike: to count them as independent would find too much. The
    p-values of all comparisons together are corrected by Holm's method (statsmodels).

    Parameters
    ----------
    ours : numpy.ndarray
        A metric of each test row, ``[n_rows]``.
    others : sequence of numpy.ndarray
        The same of each other model, on the same rows.
    users : sequence of str or numpy.ndarray
        Whom each row asks about, ``[n_rows]``.

    Returns
    -------
    list of Gain
        In the order of ``others``.
    """
    if not others:
        return []
    user = np.unique(np.asarray(users), return_inverse=True)[1]
    sums = [np.bincount(user, values) for values in (ours, *others)]
    raw = [_p_value(sums[0], other) for other in sums[1:]]
    corrected = multipletests(raw, method="holm")[1]
    return [
        Gain(ours.mean() / other.mean() - 1 if other.mean() else np.inf, float(p))
        for other, p in zip(others, corrected)
    ]


def _p_value(ours: np.ndarray, other: np.ndarray) -> float:
    difference = ours - other
    difference = difference[difference != 0]  # to exchange two equal values changes nothing
    if len(difference) < 2:
        return 1.0
    test = permutation_test(
        (difference,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=500,
        random_state=np.random.default_rng(_SEED),
    )
    return float(test.pvalue)
