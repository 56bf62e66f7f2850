"""Shapley values: what each of a few players adds, fairly divided."""

from __future__ import annotations

from math import factorial

import numpy as np


def shapley_values(worth: np.ndarray) -> np.ndarray:
    """Divide the worth of all players among them (Shapley, "A value for n-person games", 1953).

    A player's value is the mean of what it adds to those that came before it, over all orders in
    which the players can come. The values sum to ``worth[-1] - worth[0]``.

    Parameters
    ----------
    worth : numpy.ndarray
        Of each coalition, ``[2 ** n_players, ...]``. Player p is in coalition c if bit p of c is
        set: number 0 is the empty coalition, the last one has all players.

    Returns
    -------
    numpy.ndarray
        float64 ``[n_players, ...]``.
    """
    n_players = len(worth).bit_length() - 1
    worth = worth.astype(np.float64)
    values = np.zeros((n_players, *worth.shape[1:]))
    for player in range(n_players):
        for before in range(len(worth)):
            if before >> player & 1:
                continue
            size = before.bit_count()
            weight = factorial(size) * factorial(n_players - size - 1) / factorial(n_players)
            values[player] += weight * (worth[before | 1 << player] - worth[before])
    return values
