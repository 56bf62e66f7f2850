"""Whether a difference is told from chance."""

import numpy as np
import pytest

from recbole_mmdistill.evaluation.significance import compare

rng = np.random.default_rng(0)
NOISE = rng.random(300)
PERMUTED = rng.permutation(NOISE)
NORMAL, MORE_NORMAL = rng.standard_normal(300), rng.standard_normal(300)
USERS = [f"u{number}" for number in range(300)]


def test_a_steady_gain_is_significant_and_chance_is_not():
    steady, chance = compare(NOISE + 0.1, [NOISE, PERMUTED + 0.1], USERS)
    assert steady.relative == pytest.approx(0.1 / NOISE.mean())
    assert steady.p < 0.001
    assert chance.p > 0.05


def test_more_comparisons_make_each_harder():
    slight = NOISE + 0.02 * NORMAL + 0.003
    (alone,) = compare(slight, [NOISE], USERS)
    among_many = compare(slight, [NOISE] * 5, USERS)[0]
    assert among_many.p == pytest.approx(min(1, 5 * alone.p))


def test_more_rows_of_the_same_users_are_no_more_evidence():
    slight = NOISE + 0.2 * MORE_NORMAL + 0.04
    (once,) = compare(slight, [NOISE], USERS)
    (often,) = compare(np.tile(slight, 9), [np.tile(NOISE, 9)], USERS * 9)
    assert 0.001 < once.p < 0.2
    assert often == pytest.approx(once)


def test_equal_models_and_no_models():
    assert compare(NOISE, [NOISE], USERS)[0] == (0, 1)
    assert compare(NOISE, [], USERS) == []
