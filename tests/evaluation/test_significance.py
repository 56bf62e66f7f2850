"""Whether a difference is told from chance."""

import numpy as np
import pytest

from recbole_mmdistill.evaluation.significance import compare

rng = np.random.default_rng(0)
NOISE = rng.random(300)


def test_a_steady_gain_is_significant_and_chance_is_not():
    steady, chance = compare(NOISE + 0.1, [NOISE, rng.permutation(NOISE) + 0.1])
    assert steady.relative == pytest.approx(0.1 / NOISE.mean())
    assert steady.p < 0.001
    assert chance.p > 0.05


def test_more_comparisons_make_each_harder():
    slight = NOISE + 0.02 * rng.standard_normal(300) + 0.003
    (alone,) = compare(slight, [NOISE])
    among_many = compare(slight, [NOISE] * 5)[0]
    assert among_many.p == pytest.approx(min(1, 5 * alone.p))


def test_equal_models_and_no_models():
    assert compare(NOISE, [NOISE])[0] == (0, 1)
    assert compare(NOISE, []) == []
