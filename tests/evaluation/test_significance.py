"""Whether a difference is told from chance."""

import numpy as np
import pytest

from recbole_mmdistill.evaluation.significance import correct, p_value

rng = np.random.default_rng(0)
NOISE = rng.random(300)
PERMUTED = rng.permutation(NOISE)
MORE_NORMAL = rng.standard_normal((2, 300))[1]
USERS = [f"u{number}" for number in range(300)]


def test_a_steady_gain_is_significant_and_chance_is_not():
    assert p_value(NOISE + 0.1, NOISE, USERS) < 0.001
    assert p_value(NOISE + 0.1, PERMUTED + 0.1, USERS) > 0.05


def test_more_rows_of_the_same_users_are_no_more_evidence():
    slight = NOISE + 0.2 * MORE_NORMAL + 0.04
    once = p_value(slight, NOISE, USERS)
    assert 0.001 < once < 0.2
    assert p_value(np.tile(slight, 9), np.tile(NOISE, 9), USERS * 9) == pytest.approx(once)


def test_equal_models_do_not_differ():
    assert p_value(NOISE, NOISE, USERS) == 1


def test_more_comparisons_make_each_harder():
    # Holm's method, by hand: the smallest times 4, the next times 3, never less than one before.
    assert correct([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct([0.7, 0.6]) == [1, 1]
    assert correct([0.2]) == [0.2] and correct([]) == []
