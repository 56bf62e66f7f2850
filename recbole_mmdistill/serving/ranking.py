"""Recommendations from user states and items' vectors, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import UserError, near
from .histories import Histories
from .search import Cells, Index

REPEATS = "repeats"
_ENCODED_AT_ONCE = 64  # histories, of like length: their vectors stay in the cache
_RANKED_AT_ONCE = 512
_PART = 8192  # histories that are put in order of length, and whose states are held


@dataclass(frozen=True)
class Recommendations:
    """The best items for some people, the best first.

    Attributes
    ----------
    items : numpy.ndarray
        Tokens, dtype object ``[n, k]``; None where fewer than ``k`` could be recommended.
    numbers : numpy.ndarray
        The model's numbers of the same items, int64 ``[n, k]``; 0 where there is none.
    scores : numpy.ndarray
        float32 ``[n, k]``; NaN where there is no item, and for the most popular ones.
    is_popular : numpy.ndarray
        bool ``[n]``: of the history nothing was known, and the most popular items are given.
    n_unknown : numpy.ndarray
        Items of each history that were skipped because the model does not know them, ``[n]``.
    shares : numpy.ndarray or None
        What each of ``parts`` adds to the score, float64 ``[n, k, n_parts]``; NaN as the scores,
        which are then their sums.
    parts : tuple of str
        The branches, and ``repeats`` for a model with a repeat bias.
    """

    items: np.ndarray
    numbers: np.ndarray
    scores: np.ndarray
    is_popular: np.ndarray
    n_unknown: np.ndarray
    shares: np.ndarray | None
    parts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Scoring:
    """What scores are made of.

    An item's score is the sum over the branches of ``state @ vector``, and for an item of the
    history ``repeat_bias`` of its distance times the item's weights.

    Attributes
    ----------
    branches : tuple of str
        Their names.
    widths : tuple of int
        Of each branch's part of states and vectors.
    max_length : int
        Items of a history that are read, the last ones.
    user_states : callable
        Of histories ``[B, T]``, 0 = padding on the right, and their lengths ``[B]``, none of them
        0: float32 ``[B, sum(widths)]``.
    index : Index
        Has the items' vectors, ``[n_items, sum(widths)]``, times the branches' weights.
    weights : numpy.ndarray
        Of the branches in the score of each item, float32 ``[n_items, n_branches]``.
    repeat_bias : numpy.ndarray or None
        By distance from the end of the history, 0 = its last item: float32 ``[max_length]``.
    """

    branches: tuple[str, ...]
    widths: tuple[int, ...]
    max_length: int
    user_states: Callable[[np.ndarray, np.ndarray], np.ndarray]
    index: Index
    weights: np.ndarray
    repeat_bias: np.ndarray | None


class Ranker:
    """Recommends items to people by what they chose.

    Parameters
    ----------
    items : numpy.ndarray
        Tokens by number, dtype object ``[n_items]``; number 0 is the padding.
    popularity : callable
        Gives how often each item was chosen, int64 ``[n_items]``; called when it is needed.
    scoring : Scoring
        Of a model.
    """

    def __init__(
        self, items: np.ndarray, popularity: Callable[[], np.ndarray], scoring: Scoring
    ) -> None:
        self.items = items
        self.scoring = scoring
        self._count = popularity

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches that score."""
        return self.scoring.branches

    @property
    def parts(self) -> tuple[str, ...]:
        """What a score is the sum of."""
        repeats = () if self.scoring.repeat_bias is None else (REPEATS,)
        return (*self.branches, *repeats)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Number of each token but the padding's."""
        return {token: number for number, token in enumerate(self.items) if number}

    @cached_property
    def popularity(self) -> np.ndarray:
        """How often each item was chosen, int64 ``[n_items]``."""
        return self._count()

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """Numbers of all items and the padding, the most popular first, int64 ``[n_items]``."""
        return np.argsort(-self.popularity, kind="stable")

    def histories(self, histories: Iterable[Sequence[str]]) -> Histories:
        """Number the items of histories, lists of tokens with the oldest first."""
        return Histories.of_tokens(histories, self.number_of)

    def numbers(self, tokens: Iterable[str], option: str = "items") -> np.ndarray:
        """Give the numbers of some items, for ``only`` and ``exclude``.

        Parameters
        ----------
        tokens : iterable of str
            Those that are unknown are left out.
        option : str
            What named them, for the message.

        Returns
        -------
        numpy.ndarray
            int64, rising, each once.

        Raises
        ------
        UserError
            There are tokens, and none of them is known.
        """
        tokens = list(tokens)
        found = {self.number_of[token] for token in tokens if token in self.number_of}
        if tokens and not found:
            raise UserError(
                f"None of the {len(tokens)} items of {option} is known (the first is "
                f"{tokens[0]!r}).",
                f"Give items of the training{near(str(tokens[0]), list(self.number_of)[:10_000])}.",
            )
        return np.array(sorted(found), dtype=np.int64)

    def recommend(
        self,
        histories: Histories | Iterable[Sequence[str]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: np.ndarray | Iterable[str] = (),
        only: np.ndarray | Iterable[str] | None = None,
        weights: Mapping[str, float] | None = None,
        shares: bool = False,
    ) -> Recommendations:
        """Recommend items.

        Parameters
        ----------
        histories : Histories or iterable of sequence of str
            What each person chose, the oldest first: tokens, or numbers as :meth:`histories`
            makes them. Of a long one the last items are read.
        k : int
            Items for each.
        exclude_seen : bool
            Whether items of a person's own history are left out.
        exclude, only : numpy.ndarray or iterable of str
            Items that nobody gets, and those alone that are recommended: tokens, or numbers as
            :meth:`numbers` makes them.
        weights : Mapping of str to float, optional
            Factors of branches: 2 doubles what a branch adds to each score. 1 where none is given.
        shares : bool
            Whether to give what each branch adds.

        Returns
        -------
        Recommendations

        Raises
        ------
        UserError
            ``k``, an item or a weight cannot be.
        """
        if not isinstance(histories, Histories):
            histories = self.histories(histories)
        n_items = len(self.items) - 1
        if not isinstance(k, int) or not 1 <= k <= n_items:
            raise UserError(f"k is {k!r}.", f"Give a number from 1 to {n_items}, the items.")
        candidates = self._candidates(only, exclude)
        factors = self._factors(weights)
        n = len(histories)
        numbers = np.zeros((n, k), dtype=np.int64)
        scores = np.full((n, k), np.nan, dtype=np.float32)
        added = np.full((n, k, len(self.parts)), np.nan) if shares else None
        is_popular = histories.length == 0
        if is_popular.any():
            popular = self._most_popular(k, candidates)
            numbers[is_popular, : len(popular)] = popular
        known = np.flatnonzero(~is_popular)
        for first in range(0, len(known), _PART):
            part = known[first : first + _PART]
            states = self._states(histories, part, factors)
            for at in range(0, len(part), _RANKED_AT_ONCE):
                rows = part[at : at + _RANKED_AT_ONCE]
                own, state = histories.take(rows), states[at : at + _RANKED_AT_ONCE]
                cells = self._seen(own) if exclude_seen else self._repeats(own, factors)
                found = self.scoring.index.top_k(state, k, candidates, cells)
                scores[rows], numbers[rows] = found
                if added is not None:
                    repeats = None if exclude_seen else cells
                    added[rows] = self._shares(state, numbers[rows], repeats)
                    # A matrix product rounds otherwise, and the shares are to add up.
                    scores[rows] = added[rows].sum(2)
        scores[numbers == 0] = np.nan
        if added is not None:
            added[numbers == 0] = np.nan
        items = self.items[numbers]
        items[numbers == 0] = None
        return Recommendations(
            items, numbers, scores, is_popular, histories.n_unknown, added, self.parts
        )

    def states(self, histories: Histories) -> np.ndarray:
        """Give the states of people, float32 ``[n, sum(widths)]``; 0 of an empty history."""
        states = np.zeros((len(histories), sum(self.scoring.widths)), dtype=np.float32)
        known = np.flatnonzero(histories.length)
        if len(known):
            states[known] = self._states(histories, known, np.ones(len(self.branches), "f"))
        return states

    def repeats(self, histories: Histories, numbers: np.ndarray) -> np.ndarray:
        """Give what the repeat bias adds to the scores of items.

        Parameters
        ----------
        histories : Histories
            Of some people.
        numbers : numpy.ndarray
            Items for each of them, int64 ``[n, k]``.

        Returns
        -------
        numpy.ndarray
            float64 ``[n, k]``; 0 of items that a person did not choose.
        """
        return self._bias(self._repeats(histories, np.ones(len(self.branches), "f")), numbers)

    def _candidates(
        self, only: np.ndarray | Iterable[str] | None, exclude: np.ndarray | Iterable[str]
    ) -> np.ndarray:
        """Numbers of all items that may be recommended, rising."""
        if only is None:
            candidates = np.arange(1, len(self.items))
        else:
            candidates = self._as_numbers(only, "only")
        return np.setdiff1d(candidates, self._as_numbers(exclude, "exclude"), assume_unique=True)

    def _as_numbers(self, items: np.ndarray | Iterable[str], option: str) -> np.ndarray:
        if isinstance(items, np.ndarray) and items.dtype.kind == "i":
            return items
        return self.numbers(items, option)

    def _factors(self, weights: Mapping[str, float] | None) -> np.ndarray:
        """Factor of each branch, float32 ``[n_branches]``."""
        given = dict(weights or {})
        for name, weight in given.items():
            if name not in self.branches:
                raise UserError(
                    f"weights names {name!r}, which is no branch that scores.",
                    f"Choose from {', '.join(self.branches)}{near(name, self.branches)}.",
                )
            if not np.isfinite(weight) or weight < 0:
                raise UserError(
                    f"The weight of {name} is {weight!r}.", "Give a number that is not negative."
                )
        if not any(given.get(name, 1) for name in self.branches):
            raise UserError("All branches have the weight 0.", "Give one of them a weight above 0.")
        return np.array([given.get(name, 1) for name in self.branches], dtype=np.float32)

    def _states(self, histories: Histories, rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """States of some histories, times the branches' factors; like lengths read together."""
        scoring = self.scoring
        order = np.argsort(histories.length[rows], kind="stable")
        states = np.empty((len(rows), sum(scoring.widths)), dtype=np.float32)
        for first in range(0, len(rows), _ENCODED_AT_ONCE):
            chosen = order[first : first + _ENCODED_AT_ONCE]
            read = histories.take(rows[chosen]).padded(scoring.max_length)
            states[chosen] = scoring.user_states(*read)
        if (factors != 1).any():
            states *= np.repeat(factors, scoring.widths)
        return states

    @staticmethod
    def _seen(histories: Histories) -> Cells:
        value = np.full(len(histories.items), -np.inf, dtype=np.float32)
        return Cells(histories.owner, histories.items, value)

    def _repeats(self, histories: Histories, factors: np.ndarray) -> Cells | None:
        """The repeat bias of each item that a history holds among those that are read."""
        scoring = self.scoring
        if scoring.repeat_bias is None:
            return None
        item_seq, length = histories.padded(scoring.max_length)
        row, column = np.nonzero(item_seq)
        distance = length[row] - 1 - column
        # Of an item that comes again the latest place counts: the first from behind.
        key = (row * len(self.items) + item_seq[row, column])[::-1]
        _, latest = np.unique(key, return_index=True)
        latest = len(key) - 1 - latest
        row, item = row[latest], item_seq[row[latest], column[latest]]
        bias = scoring.repeat_bias[distance[latest]] * (scoring.weights[item] @ factors)
        return Cells(row, item, bias.astype(np.float32))

    def _shares(self, states: np.ndarray, numbers: np.ndarray, repeats: Cells | None) -> np.ndarray:
        """What each part adds to the scores of items, float64 ``[B, k, n_parts]``."""
        vectors = self.scoring.index.rows(numbers)
        vectors *= states[:, None]
        starts = np.cumsum([0, *self.scoring.widths[:-1]])
        shares = np.add.reduceat(vectors, starts, axis=2, dtype=np.float64)
        if self.scoring.repeat_bias is not None:
            bias = self._bias(repeats, numbers)
            shares = np.concatenate([shares, bias[..., None]], axis=2)
        return shares

    def _bias(self, repeats: Cells | None, numbers: np.ndarray) -> np.ndarray:
        """What the repeat bias adds to the scores of items, float64 ``[B, k]``."""
        if repeats is None or not len(repeats.row):
            return np.zeros(numbers.shape)
        key = repeats.row * len(self.items) + repeats.item
        wanted = np.arange(len(numbers))[:, None] * len(self.items) + numbers
        place = np.searchsorted(key, wanted).clip(max=len(key) - 1)
        return np.where(key[place] == wanted, repeats.value[place], 0.0)

    def _most_popular(self, k: int, candidates: np.ndarray) -> np.ndarray:
        """The most popular of the candidates, at most ``k``."""
        allowed = np.zeros(len(self.items), dtype=bool)
        allowed[candidates] = True
        order = self.by_popularity
        return order[allowed[order]][:k]
