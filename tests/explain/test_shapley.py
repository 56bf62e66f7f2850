"""Shapley values of games whose values are known."""

import numpy as np
import pytest

from recbole_mmdistill.explain import shapley_values


def worth(of):
    """Of all coalitions of three players, by a function of the set of players."""
    members = [{p for p in range(3) if coalition >> p & 1} for coalition in range(8)]
    return np.array([of(there) for there in members], dtype=float)


def test_a_left_glove_and_two_right_ones():
    pairs = worth(lambda there: float(0 in there and len(there) > 1))
    np.testing.assert_allclose(shapley_values(pairs), [2 / 3, 1 / 6, 1 / 6])


def test_what_players_add_each_by_itself_is_theirs():
    added = worth(lambda there: 7 + sum([1.5, -2, 4][player] for player in there))
    np.testing.assert_allclose(shapley_values(added), [1.5, -2, 4])


def test_a_player_that_adds_nothing_gets_nothing():
    indifferent = worth(lambda there: float({0, 1} <= there))
    np.testing.assert_allclose(shapley_values(indifferent), [0.5, 0.5, 0])


@pytest.mark.parametrize("n_players", [1, 2, 3, 5])
def test_many_games_at_once_and_all_of_the_worth_is_given_away(n_players):
    drawn = np.random.default_rng(0).normal(size=(2**n_players, 4, 3))
    values = shapley_values(drawn)
    assert values.shape == (n_players, 4, 3)
    np.testing.assert_allclose(values.sum(0), drawn[-1] - drawn[0])
    np.testing.assert_allclose(values[:, 1, 2], shapley_values(drawn[:, 1, 2]))
