"""How good each branch is by itself, and how far the branches agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations

import torch
from torch import Tensor

_K = 10


def compare_branches(scores: Mapping[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    """Compare the branches' scores of the same rows.

    Parameters
    ----------
    scores : Mapping of str to Tensor
        By branch, ``[n_rows, n_items]``; -inf for items that are not ranked.
    target : Tensor
        The true next items, ``[n_rows]``.

    Returns
    -------
    dict of str to Tensor
        ``[n_rows]`` each: ``ndcg@10/<branch>``; ``kl/<teacher>-<student>``, the divergence
        ``KL(softmax(teacher) || softmax(student))`` in nats; ``overlap@10/<branch>-<branch>``, the
        share of common items of two lists of ten.
    """
    found = {}
    for name, score in scores.items():
        rank = (score >= score.gather(1, target[:, None])).sum(1)  # ties count against the branch
        found[f"ndcg@{_K}/{name}"] = (rank <= _K) / torch.log2(rank + 1.0)
    ranked = {name: torch.isfinite(score) for name, score in scores.items()}
    for teacher, student in permutations(scores, 2):
        both = ranked[teacher] & ranked[student]
        log_t, log_s = (
            scores[name].masked_fill(~both, -torch.inf).log_softmax(1)
            for name in (teacher, student)
        )
        terms = log_t.exp() * (log_t - log_s)
        found[f"kl/{teacher}-{student}"] = terms.masked_fill(~both, 0).sum(1)
    n_listed = min(_K, next(iter(scores.values())).size(1))
    top = {name: score.topk(n_listed, dim=1).indices for name, score in scores.items()}
    for one, other in combinations(scores, 2):
        common = top[one][:, :, None] == top[other][:, None, :]
        found[f"overlap@{_K}/{one}-{other}"] = common.any(2).float().mean(1)
    return found
