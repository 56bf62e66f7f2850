"""What needs no training: the most popular items, and what was bought after the last item."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix, csr_matrix
from torch import Tensor

POPULAR, MARKOV = "popular", "markov"


class Baseline:
    """Scores items as a sequential model of RecBole does, by counts of the training rows.

    Parameters
    ----------
    count : numpy.ndarray
        How often each item was chosen, ``[n_items]``.
    follows : scipy.sparse.csr_matrix or None
        How often an item (column) came after another (row); None: by popularity alone.
    item_seq, item_seq_len : str
        The fields of a row's history.
    """

    def __init__(
        self, count: np.ndarray, follows: csr_matrix | None, item_seq: str, item_seq_len: str
    ) -> None:
        self._count = torch.from_numpy(count.astype(np.float32))
        self._follows = follows
        self.ITEM_SEQ, self.ITEM_SEQ_LEN = item_seq, item_seq_len

    def eval(self) -> None:
        """There is nothing that training and evaluation do differently."""

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Score all items for each row, ``[B, n_items]``; popularity decides among equals."""
        n_rows = len(interaction)
        if self._follows is None:
            return self._count.repeat(n_rows, 1)
        item_seq, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        last = item_seq.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0].numpy()
        followed = torch.from_numpy(self._follows[last].toarray())
        return followed + self._count / (self._count.sum() + 1)


def fit_baselines(train_data: Any, n_items: int) -> dict[str, Baseline]:
    """Count the rows of a training dataloader.

    Parameters
    ----------
    train_data : recbole.data.dataloader.TrainDataLoader
        Of a sequential model that has a row for each target, such as SASRec.
    n_items : int
        The padding item 0 included.

    Returns
    -------
    dict of str to Baseline
    """
    dataset = train_data._dataset
    item, seq, length = (
        dataset.iid_field,
        dataset.item_id_list_field,
        dataset.item_list_length_field,
    )
    count = np.zeros(n_items, dtype=np.int64)
    pairs: list[np.ndarray] = []
    for rows in train_data:
        n_before, target, history = rows[length], rows[item].numpy(), rows[seq]
        last = history.gather(1, (n_before - 1)[:, None])[:, 0].numpy()
        pairs.append(np.stack([last, target]))
        count += np.bincount(target, minlength=n_items)
        first = history[:, 0][n_before == 1].numpy()  # which is no row's target
        count += np.bincount(first, minlength=n_items)
    last, target = np.concatenate(pairs, axis=1)
    ones = np.ones(len(last), dtype=np.float32)
    follows = coo_matrix((ones, (last, target)), shape=(n_items, n_items)).tocsr()
    return {
        POPULAR: Baseline(count, None, seq, length),
        MARKOV: Baseline(count, follows, seq, length),
    }
