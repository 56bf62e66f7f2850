"""Ranks, and the metrics that hang on nothing else."""

import numpy as np
import pytest
import torch

from recbole_mmdistill.evaluation.ranking import hit, ndcg, rank_targets


class Scores:
    """A model that knows its scores beforehand."""

    ITEM_SEQ = "item_id_list"

    def __init__(self, scores):
        self.scores = torch.tensor(scores)

    def eval(self):
        return self

    def full_sort_predict(self, interaction):
        return self.scores[interaction["row"]].clone()


class Rows(dict):
    def to(self, device):
        return self

    def __len__(self):
        return len(self["row"])


def batch(rows, items):
    return Rows(row=torch.tensor(rows)), None, torch.arange(len(rows)), torch.tensor(items)


def test_a_rank_counts_the_items_that_score_higher_and_never_the_padding():
    scores = Scores([[9.0, 3.0, 2.0, 1.0], [9.0, 1.0, 2.0, 3.0]])
    assert rank_targets(scores, [batch([0], [1]), batch([1], [1])], "cpu") == [1, 3]


def test_among_unseen_items_those_of_the_history_come_last():
    scores = Scores([[9.0, 3.0, 2.0, 1.0], [9.0, 1.0, 2.0, 3.0]])
    rows = batch([0, 1], [3, 3])
    rows[0]["item_id_list"] = torch.tensor([[1, 2, 0], [1, 0, 0]])
    assert rank_targets(scores, [rows], "cpu") == [3, 1]
    assert rank_targets(scores, [rows], "cpu", unseen_only=True) == [1, 1]


def test_equal_scores_are_no_hit():
    scores = Scores([[0.0] * 41])
    assert rank_targets(scores, [batch([0], [7])], "cpu") == [21]


def test_ndcg_and_hit():
    assert ndcg(np.array([1, 3, 10, 11])) == pytest.approx([1, 0.5, 0.28906, 0], abs=1e-4)
    assert hit(np.array([1, 10, 11])).tolist() == [1, 1, 0]
