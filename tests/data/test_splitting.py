"""Splits by user, compared with RecBole's own code run on the same rows."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction

from recbole_mmdistill.data import splitting

users = st.lists(st.integers(1, 5), min_size=1, max_size=40).map(np.array)


def by_recbole(method, user, *args, time=None):
    """Rows of each part, from a dataset that knows nothing but its rows."""
    columns = {"user": torch.from_numpy(user), "row": torch.arange(len(user))}
    if time is not None:
        columns["time"] = torch.from_numpy(time)
    bare = SimpleNamespace(
        inter_feat=Interaction(columns),
        uid_field="user",
        time_field="time",
        logger=logging.getLogger("recbole"),
        _drop_unused_col=lambda: None,
        copy=lambda rows: rows["row"].tolist(),
    )
    for helper in ("_grouped_index", "_split_index_by_leave_one_out", "_calcu_split_ids"):
        function = getattr(SequentialDataset, helper, None) or getattr(Dataset, helper)
        setattr(bare, helper, function.__get__(bare))
    return method(bare, *args)


def rows_of(parts):
    ends = np.cumsum(parts.size)
    return [parts.rows[end - size : end].tolist() for size, end in zip(parts.size, ends)]


@pytest.mark.parametrize("mode", ["valid_and_test", "valid_only", "test_only"])
@given(user=users)
@settings(max_examples=60, deadline=None)
def test_leave_one_out_is_recboles(mode, user):
    theirs = by_recbole(SequentialDataset.leave_one_out, user, "user", mode)
    assert rows_of(splitting.leave_one_out(user, mode)) == theirs


@given(user=users, ratios=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.34, 0.33, 0.33)]))
@settings(max_examples=60, deadline=None)
def test_the_split_by_ratio_is_recboles(user, ratios):
    theirs = by_recbole(Dataset.split_by_ratio, user, list(ratios), "user")
    total = sum(ratios)
    shares = [ratio / total for ratio in ratios]
    cut = lambda size: Dataset._calcu_split_ids(None, size, shares)  # noqa: E731
    assert rows_of(splitting.by_ratio(user, 3, cut)) == theirs


def test_an_unknown_mode_of_leave_one_out_is_refused():
    with pytest.raises(NotImplementedError, match="half_of_it"):
        splitting.leave_one_out(np.array([1, 1]), "half_of_it")


@given(user=users, seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_split_by_time_is_recboles(user, seed):
    time = np.sort(np.random.default_rng(seed).integers(0, 30, len(user))).astype(float)
    theirs = by_recbole(Dataset.time_based_split, user, [0.7, 0.1, 0.2], "user", time=time)
    total = sum([0.7, 0.1, 0.2])
    shares = [ratio / total for ratio in (0.7, 0.1, 0.2)]
    assert rows_of(splitting.by_time(user, time, shares)) == theirs


def test_the_split_by_time_holds_out_what_is_late():
    user = np.array([1, 2, 1, 1, 2, 1, 1, 2, 1, 1])
    time = np.arange(10.0)
    train, valid, test = rows_of(splitting.by_time(user, time, [0.6, 0.2, 0.2]))
    assert test == [8, 9]  # later than the quantile 0.8 of all times
    assert sorted(train + valid) == list(range(8))
    assert train == [0, 2, 3, 1, 4]  # of each user's others the first 3 of 4 (0.6 / 0.8)
