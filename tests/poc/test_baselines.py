"""The most popular items, and what was bought after the last one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_mmdistill.poc.baselines import fit_baselines


class Rows(list):
    """Batches of training rows, as a dataloader gives them."""

    _dataset = SimpleNamespace(
        iid_field="item_id", item_id_list_field="seq", item_list_length_field="length"
    )


def rows(*histories):
    """A row for each item of each history but the first."""
    pairs = [(history[:n], history[n]) for history in histories for n in range(1, len(history))]
    seq = torch.zeros(len(pairs), 4, dtype=torch.long)
    for row, (before, _) in enumerate(pairs):
        seq[row, : len(before)] = torch.tensor(before)
    length = torch.tensor([len(before) for before, _ in pairs])
    target = torch.tensor([target for _, target in pairs])
    return Interaction({"seq": seq, "length": length, "item_id": target})


@pytest.fixture
def fitted():
    return fit_baselines(Rows([rows([1, 2, 3], [1, 2, 4]), rows([4, 2, 3])]), 6)


def test_popularity_counts_every_purchase(fitted):
    scores = fitted["popular"].full_sort_predict(rows([5, 1]))
    assert scores.tolist() == [[0, 2, 3, 2, 2, 0]]


def test_markov_ranks_by_what_followed_the_last_item(fitted):
    (scores,) = fitted["markov"].full_sort_predict(rows([2, 5])).numpy()
    assert np.argsort(-scores)[:2].tolist() == [3, 4]  # 3 came twice after 2, 4 once


def test_markov_falls_back_on_popularity(fitted):
    (scores,) = fitted["markov"].full_sort_predict(rows([5, 1])).numpy()
    assert scores.argmax() == 2
    assert 0 < scores.max() < 1
