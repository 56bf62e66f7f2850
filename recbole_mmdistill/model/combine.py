"""How the branches' scores become the final score of an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .item_encoder import ID
from .widths import BranchTensor, by_width

LEARNED = "learned"


class Combination(nn.Module):
    """Weights of the branches in the final score (ODMT eq. 8, where all are equal).

    A branch's scores have the mean 0 over the items that have its source (:func:`centre`). So a
    source that an item lacks can have the weight 0: it speaks neither for nor against the item.
    But a score of fewer sources is flatter, and such an item would hardly be ranked high. So the
    weights of the other sources are multiplied by a learned factor for each source that is
    missing. An item that training never saw has no ID: there the weights of its other sources sum
    to the learned factor of the ID times ``new_item_weight``.

    Learned weights are a softmax and begin as equals. They are learned from the cross entropy of
    the final score times a learned sharpness: a mean of several scores is flatter than any of
    them, and the weights should not have to make up for it.

    Parameters
    ----------
    branches : sequence of str
        Names of the branches.
    branch_weights : str, Mapping of str to float, or None
        ``learned``, or fixed weights by branch, 1 where none is given. None: all are equal.
    new_item_weight : float
        Wish of the user for items that training never saw; above 1 favours them.
    """

    fixed_weight: Tensor
    new_item_weight: Tensor

    def __init__(
        self,
        branches: Sequence[str],
        branch_weights: str | Mapping[str, float] | None = LEARNED,
        new_item_weight: float = 1.0,
    ) -> None:
        super().__init__()
        # A buffer, so that an evaluation sees a change of it.
        wish = torch.tensor(float(new_item_weight))
        self.register_buffer("new_item_weight", wish, persistent=False)
        self.id_branch = branches.index(ID) if ID in branches else None
        fixed = branch_weights if isinstance(branch_weights, Mapping) else {}
        weight = torch.tensor([float(fixed.get(name, 1.0)) for name in branches])
        self.register_buffer("fixed_weight", weight, persistent=False)
        n_learned = len(branches) if branch_weights == LEARNED and len(branches) > 1 else 0
        self.is_learned = n_learned > 0
        self.weight_logit = nn.Parameter(torch.zeros(n_learned)) if n_learned else None
        self.log_sharpness = nn.Parameter(torch.zeros(())) if n_learned else None
        self.log_missing_factor = nn.Parameter(torch.zeros(n_learned)) if n_learned else None

    def forward(
        self,
        present: Tensor,
        branches: Sequence[int] | None = None,
        new_item_weight: float | None = None,
    ) -> Tensor:
        """Weights of branches in the scores of items.

        Parameters
        ----------
        present : Tensor
            Which of these branches' sources the items have, bool ``[len(branches), n_items]``.
        branches : sequence of int, optional
            The branches that score; by default all.
        new_item_weight : float, optional
            In place of the constructor's.

        Returns
        -------
        Tensor
            ``[len(branches), n_items]``; they sum to 1 for an item that has all sources.
        """
        every = list(range(len(self.fixed_weight)))
        chosen = every if branches is None else list(branches)
        logit = self.weight_logit
        log_factor: Tensor | None = self.log_missing_factor
        weight = self.fixed_weight if logit is None else logit.softmax(0)
        if chosen != every:  # a list as an index is copied to the device, which waits
            weight = weight[chosen]
            log_factor = None if log_factor is None else log_factor[chosen]
        if chosen != every or logit is None:
            total = weight.sum()
            weight = torch.where(total > 0, weight / total.clamp(min=1e-12), 1 / len(chosen))
        if log_factor is None:
            log_factor = torch.zeros_like(weight)
        weights = weight[:, None] * present
        weights = weights * (log_factor @ (~present).float()).exp()
        if self.id_branch in chosen:
            place = chosen.index(self.id_branch)
            wish = self.new_item_weight if new_item_weight is None else new_item_weight
            of_new_item = weights * (
                log_factor[place].exp() * wish / weights.sum(0).clamp(min=1e-12)
            )
            weights = torch.where(present[place], weights, of_new_item)
        return weights

    def in_training(self, present: Tensor, new_item_weight: float | None = None) -> Tensor:
        """Weights times the sharpness: those of the logits of a training step.

        ``present`` and result are ``[n_branches, n_candidates]``.
        """
        weight = self(present, new_item_weight=new_item_weight)
        return weight if self.log_sharpness is None else weight * self.log_sharpness.exp()


def centre(vectors: BranchTensor, counts: Tensor) -> BranchTensor:
    """Take the mean of each branch's vectors from them.

    A softmax does not feel it, but scores of several branches can then be added up for items that
    lack one.

    Parameters
    ----------
    vectors : BranchTensor
        ``[n_branches, n_items, width]``.
    counts : Tensor
        How often each of them counts, ``[n_branches, n_items]``: 0 if the item lacks the source.

    Returns
    -------
    BranchTensor
        Of the shape of ``vectors``.
    """
    share = counts / counts.sum(1, keepdim=True).clamp(min=1e-12)
    return by_width(lambda x, of_x: x - (of_x[:, None] @ x), vectors, share)
