"""Whether one model is better than another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import permutation_test

_RESAMPLES = 9999
_SEED = 2023


def p_value(ours: np.ndarray, other: np.ndarray, users: Sequence[str] | np.ndarray) -> float:
    """Compare two models, user by user.

    A paired permutation test (scipy) of the rows' means over seeds: under the null hypothesis the
    two values of all of a user's rows could as well be exchanged. Rows of one user are exchanged
    together, because they are alike: to count them as independent would find too much.

    Parameters
    ----------
    ours, other : numpy.ndarray
        A metric of each test row, ``[n_rows]``.
    users : sequence of str or numpy.ndarray
        Whom each row asks about, ``[n_rows]``.

    Returns
    -------
    float
        Two-sided p-value.
    """
    user = np.unique(np.asarray(users), return_inverse=True)[1]
    difference = np.bincount(user, ours) - np.bincount(user, other)
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


def correct(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's method.

    Parameters
    ----------
    p_values : sequence of float
        Of tests that are reported together.

    Returns
    -------
    list of float
        In the same order.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected.tolist()
