"""Recommendations of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, near
from ..integration.trained import Interactions, Trained, load_trained, read_interactions
from .models import ScoringModel, adapt
from .ranking import Ranker, Scoring
from .search import Cells, ExactIndex, Index
from .tables import Table


class Recommender(Ranker):
    """Recommends by a trained model.

    Parameters
    ----------
    trained : Trained
        The checkpoint.
    model : ScoringModel
        Its model's adapter.
    sources : sequence of str, optional
        The branches that score; by default all.

    Attributes
    ----------
    trained, model
        As given.
    """

    def __init__(
        self, trained: Trained, model: ScoringModel, sources: Sequence[str] | None = None
    ) -> None:
        self.trained = trained
        self.model = model
        branches = model.branches if sources is None else _known(sources, model.branches)
        super().__init__(trained.items, self._counts, scoring_of(model, branches))

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device | None = None
    ) -> Recommender:
        """Load a checkpoint.

        Of its dataset the feature files are needed, and nothing else. A model of RecBole does not
        know how popular items are: if that is asked for, its dataset is read.

        Parameters
        ----------
        path : str or Path
            A checkpoint of IDMMDistill, SASRec or GRU4Rec.
        device : str or torch.device, optional
            Where to compute; by default as the checkpoint's ``use_gpu`` says.

        Returns
        -------
        Recommender

        Raises
        ------
        UserError
            The checkpoint is refused, or its features are not there.
        """
        trained = load_trained(path)
        if device is not None:
            trained.model.to(device)
        return cls(trained, adapt(trained.model, path))

    def with_sources(self, sources: Sequence[str]) -> Recommender:
        """Give a recommender of the same model that scores with some of its branches alone.

        Parameters
        ----------
        sources : sequence of str
            Names of branches; their weights sum to what all branches' do.

        Returns
        -------
        Recommender

        Raises
        ------
        UserError
            A name is none of the model's branches.
        """
        return Recommender(self.trained, self.model, sources)

    @cached_property
    def interactions(self) -> Interactions:
        """The dataset's interactions as they are now."""
        return read_interactions(self.trained)

    def _counts(self) -> np.ndarray:
        counts = self.model.popularity()
        if counts is not None:
            return counts.cpu().numpy()
        known = self.interactions.item
        return np.bincount(known[known < len(self.items)], minlength=len(self.items))


def _known(sources: Sequence[str], branches: Sequence[str]) -> list[str]:
    unknown = [name for name in sources if name not in branches]
    if unknown or not sources:
        wrong = unknown[0] if unknown else ""
        raise UserError(
            f"The sources to score with are {', '.join(sources) or 'none'}, but "
            + (f"{wrong!r} is no branch of the model." if wrong else "one is needed."),
            f"Choose from {', '.join(branches)}{near(wrong, branches)}.",
        )
    return [name for name in branches if name in sources]


def scoring_of(model: ScoringModel, branches: Sequence[str]) -> Scoring:
    """Give what scores are made of, for some branches of a model.

    Parameters
    ----------
    model : ScoringModel
        The model.
    branches : sequence of str
        Those that score.
    """
    branches = list(branches)
    device = model.device

    def user_states(item_seq: np.ndarray, item_seq_len: np.ndarray) -> np.ndarray:
        item, length = (torch.from_numpy(part).to(device) for part in (item_seq, item_seq_len))
        return model.user_states(item, length, branches).float().cpu().numpy()

    repeat_bias = model.repeat_bias()
    table = model.table(branches).float()
    return Scoring(
        branches=tuple(branches),
        widths=tuple(model.widths(branches)),
        max_length=model.max_length,
        user_states=user_states,
        index=_TorchIndex(table) if table.is_cuda else ExactIndex(Table(table.numpy())),
        weights=model.weights(branches).T.contiguous().cpu().numpy(),
        repeat_bias=None if repeat_bias is None else repeat_bias.cpu().numpy(),
    )


class _TorchIndex(Index):
    """Looks at every item, on a GPU.

    Parameters
    ----------
    table : Tensor
        ``[n_items, D]``.
    """

    def __init__(self, table: Tensor) -> None:
        self._table = table

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Index`."""
        return self._table[self._here(numbers)].cpu().numpy()

    def top_k(
        self, users: np.ndarray, k: int, candidates: np.ndarray, cells: Cells | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Index`."""
        scores = self._here(users) @ self._table.T
        if cells is not None:
            row, item, value = map(self._here, cells)
            scores.index_put_((row, item), value, accumulate=True)
        if len(candidates) < scores.size(1):
            allowed = torch.zeros(scores.size(1), dtype=torch.bool)
            allowed[torch.from_numpy(candidates)] = True
            scores.masked_fill_(~allowed.to(scores.device), -torch.inf)
        best, numbers = scores.topk(k, dim=1)
        return best.cpu().numpy(), numbers.masked_fill(best == -torch.inf, 0).cpu().numpy()

    def _here(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._table.device)
