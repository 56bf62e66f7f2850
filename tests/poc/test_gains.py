"""Paired gains, their intervals, and how many users show one."""

import numpy as np
import pytest

from recbole_mmdistill.poc.gains import gain, quality, seed_variance, users_needed

USERS = [f"u{n}" for n in range(400)]


def test_quality_is_the_mean_over_seeds():
    assert quality([[1, 11], [3, 1]]) == pytest.approx([0.75, 0.5])


def test_a_gain_of_every_user_is_certain():
    other = np.full(400, 0.1)
    found = gain(1.5 * other, other, USERS)
    assert (found.relative, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.p < 0.001
    assert found.n_users == 400


def test_two_rankings_of_the_same_quality_differ_by_chance():
    rng = np.random.default_rng(0)
    ours, other = rng.random(400), rng.random(400)
    found = gain(ours, other, USERS)
    assert found.low < 0 < found.high
    assert found.p > 0.05


def test_rows_of_one_user_are_drawn_together():
    rng = np.random.default_rng(0)
    other = rng.random(400)
    ours = other + np.repeat(rng.normal(0.05, 0.3, 20), 20)
    many = gain(ours, other, USERS)
    few = gain(ours, other, [f"u{n // 20}" for n in range(400)])
    assert few.n_users == 20
    assert few.high - few.low > 2 * (many.high - many.low)


def test_other_random_starts_widen_the_interval():
    other = np.full(400, 0.2)
    variance = seed_variance({"id": 1, "text": 4})
    assert variance == pytest.approx(0.01**2 * (1 + 1 / 4))
    alone, widened = (gain(1.1 * other, other, USERS, of) for of in (0.0, variance))
    assert alone.low == pytest.approx(0.1) == alone.high  # all users gain the same
    half = 1.959964 * variance**0.5 * 1.1
    assert (widened.low, widened.high) == pytest.approx((0.1 - half, 0.1 + half))
    assert seed_variance({"sasrec": 1}) > seed_variance({"id": 1})


def test_users_needed_count_random_starts():
    difference, reference = np.tile([0.1, -0.1], 50), np.full(100, 0.1)
    alone = users_needed(difference, reference, 0.05)
    of_seeds = [
        users_needed(difference, reference, 0.05, seed_variance({"id": n, "text": n}))
        for n in (1, 5)
    ]
    assert alone < of_seeds[1] < 1.3 * alone < 3 * alone < of_seeds[0]
    assert users_needed(difference, reference, 0.01, seed_variance({"id": 1, "text": 1})) == 0


def test_users_needed_follows_the_usual_formula():
    difference = np.array([-0.2, 0.2] * 50)
    # (1.96 + 0.84)^2 * 0.2^2 / (0.05 * 0.1)^2 = 12,559 but for n - 1 = 99 in the deviation
    assert users_needed(difference, np.full(100, 0.1), 0.05) == pytest.approx(
        12_559 * 100 / 99, 1e-3
    )


def test_nobody_can_say_how_many_users_are_needed_without_a_hit():
    assert users_needed(np.zeros(5), np.zeros(5), 0.05) == 0
