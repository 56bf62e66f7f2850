"""How much better one ranking is than another, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.ranking import ndcg
from ..evaluation.significance import p_value

_RESAMPLES, _SEED = 2000, 2023
_TWO_SIDED = 1.959964  # normal quantile of 95 %
_POWER = _TWO_SIDED + 0.841621  # power 80 %
# Relative standard deviation of NDCG@10 over random starts of a training. In three shops
# (results/shops) 0.1 to 1.2 % were seen, of SASRec to 1.7 %; a report's few seeds cannot tell it.
_SPREAD, _SPREADS = 0.01, {"sasrec": 0.017}


@dataclass(frozen=True)
class Gain:
    """The paired gain of one ranking over another.

    Attributes
    ----------
    ours, other : float
        Mean NDCG@10 over rows.
    relative, low, high : float
        The gain relative to the other, and the ends of its 95 % interval: a bootstrap over users,
        widened by what other random starts would give.
    p : float
        Of a paired permutation test over users, not corrected.
    n_users : int
        Who were tested.
    users_needed : int
        So many would show a gain of 5 % in 8 of 10 samples, by the spread that was seen and with
        as many seeds.
    """

    ours: float
    other: float
    relative: float
    low: float
    high: float
    p: float
    n_users: int
    users_needed: int


def quality(ranks_by_seed: Sequence[Sequence[int]]) -> np.ndarray:
    """NDCG@10 of each row, mean over seeds: ``[n_rows]`` of ranks ``[n_seeds, n_rows]``."""
    return ndcg(np.asarray(ranks_by_seed)).mean(axis=0)


def gain(
    ours: np.ndarray,
    other: np.ndarray,
    users: Sequence[str],
    variance: float = 0.0,
    effect: float = 0.05,
) -> Gain:
    """Compare two rankings of the same rows.

    Parameters
    ----------
    ours, other : numpy.ndarray
        NDCG@10 of each row, ``[n_rows]``.
    users : sequence of str
        Whom each row asks about, ``[n_rows]``.
    variance : float
        Of both over random starts, see :func:`seed_variance`.
    effect : float
        The relative gain of ``users_needed``.

    Returns
    -------
    Gain
    """
    user = np.unique(np.asarray(users), return_inverse=True)[1]
    mine, theirs, rows = (np.bincount(user, of) for of in (ours, other, np.ones(len(user))))
    n = len(rows)
    rng = np.random.default_rng(_SEED)
    relative = _relative(mine.sum(), theirs.sum())
    drawn = []
    for _ in range(_RESAMPLES):
        count = np.bincount(rng.integers(0, n, n), minlength=n)
        drawn.append(_relative(float(count @ mine), float(count @ theirs)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    of_seeds = _TWO_SIDED * np.sqrt(variance) * (1 + relative)
    low = relative - np.hypot(relative - low, of_seeds)
    high = relative + np.hypot(high - relative, of_seeds)
    return Gain(
        ours=float(ours.mean()),
        other=float(other.mean()),
        relative=relative,
        low=float(low),
        high=float(high),
        p=p_value(ours, other, users),
        n_users=n,
        users_needed=users_needed(mine - theirs, theirs, effect, variance),
    )


def seed_variance(trainings: Mapping[str, int]) -> float:
    """Compute what random starts add to the variance of a relative gain.

    Parameters
    ----------
    trainings : Mapping of str to int
        How many seeds each stage that is compared is a mean of; without those that need no
        training.

    Returns
    -------
    float
        To be multiplied by the square of 1 + gain.
    """
    return sum(_SPREADS.get(stage, _SPREAD) ** 2 / n for stage, n in trainings.items())


def users_needed(
    difference: np.ndarray, reference: np.ndarray, effect: float, variance: float = 0.0
) -> int:
    """Compute how many users show a relative gain.

    Parameters
    ----------
    difference, reference : numpy.ndarray
        Of each user, ``[n_users]``: the difference of two rankings, and the lower one's quality.
    effect : float
        The relative gain to be seen in 8 of 10 samples at the 5 % level.
    variance : float
        See :func:`seed_variance`.

    Returns
    -------
    int
        0 if it cannot be told: nobody has a hit, the rankings do not differ, or random starts hide
        such a gain however many users there are.
    """
    mean, spread = reference.mean(), difference.std(ddof=1) if len(difference) > 1 else 0.0
    of_users = (effect / _POWER) ** 2 - variance * (1 + effect) ** 2
    if mean <= 0 or spread <= 0 or of_users <= 0:
        return 0
    return int(np.ceil((spread / mean) ** 2 / of_users))


def _relative(ours: float, other: float) -> float:
    return float((ours - other) / max(other, 1e-9))
