import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.features.popularity import GROUPS, popularity_groups


def named(counts):
    return [GROUPS[group] for group in popularity_groups(counts)]


def test_ten_items_and_two_that_nobody_wanted():
    counts = [5, 0, 3, 1, 9, 1, 0, 2, 2, 4, 7, 1]
    assert named(counts) == [
        "middle",
        "cold",
        "middle",
        "tail",
        "head",
        "tail",
        "cold",
        "tail",
        "tail",
        "middle",
        "middle",
        "tail",
    ]


def test_of_equally_popular_items_the_first_count_as_more_popular():
    assert named([1] * 10) == ["head"] + ["middle"] * 4 + ["tail"] * 5


@pytest.mark.parametrize(
    ("n_items", "sizes"),
    [
        (0, (0, 0, 0)),
        (1, (0, 0, 1)),
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (11, (5, 4, 2)),
        (20, (10, 8, 2)),
        (1000, (500, 400, 100)),
    ],
)
def test_sizes(n_items, sizes):
    groups = popularity_groups(np.arange(1, n_items + 1))
    assert np.bincount(groups, minlength=4)[1:].tolist() == list(sizes)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_no_item_is_in_a_better_group_than_a_more_popular_one(counts):
    groups = popularity_groups(counts)
    assert groups.dtype == np.int8
    by_count = sorted(zip(counts, groups.tolist()))
    assert [group for _, group in by_count] == sorted(groups.tolist())
    assert [group == 0 for group in groups] == [count == 0 for count in counts]


def test_unsigned_counts():
    assert named(np.array([1, 3, 0], dtype=np.uint8)) == ["tail", "head", "cold"]
