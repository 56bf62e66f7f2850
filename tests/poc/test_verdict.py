"""What a comparison shows, rule by rule."""

import pytest

from recbole_mmdistill.poc.verdict import outcome


def compared(relative, low, high, p=0.001, users=5000, unfinished=False, other_unfinished=False):
    return {
        "relative": relative,
        "low": low,
        "high": high,
        "p_corrected": p,
        "n_users": users,
        "unfinished": unfinished,
        "other_unfinished": other_unfinished,
    }


@pytest.mark.parametrize(
    ("shows", "of"),
    [
        ("on", compared(0.08, 0.03, 0.13)),
        ("on", compared(0.02, 0.001, 0.04, p=0.049)),
        ("small", compared(0.015, 0.005, 0.03)),
        ("harm", compared(-0.08, -0.13, -0.03)),
        ("not", compared(-0.01, -0.03, 0.015, p=0.4)),
        ("unclear", compared(0.08, -0.03, 0.2, p=0.2)),
    ],
)
def test_interval_and_gain_decide(shows, of):
    assert outcome(of) == shows


def test_a_gain_that_holm_does_not_carry_is_not_claimed():
    assert outcome(compared(0.08, 0.01, 0.15, p=0.06)) == "unclear"


def test_few_users_show_nothing():
    assert outcome(compared(0.9, 0.5, 1.5, users=99)) == "unclear"
    assert outcome(compared(-0.9, -0.95, -0.5, users=99)) == "unclear"


def test_nothing_is_claimed_over_an_unfinished_training():
    assert outcome(compared(0.9, 0.5, 1.5, other_unfinished=True)) == "unfinished"


def test_an_unfinished_training_may_win_but_not_lose():
    assert outcome(compared(0.9, 0.5, 1.5, unfinished=True)) == "on"
    assert outcome(compared(-0.9, -0.95, -0.5, unfinished=True)) == "unfinished"
    assert outcome(compared(0.0, -0.01, 0.01, p=0.9, unfinished=True)) == "unfinished"
