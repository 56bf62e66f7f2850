"""Why a trained model recommends what it recommends, in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from tqdm import tqdm

from ..errors import UserError
from ..model.item_encoder import ID
from ..serving.histories import Histories
from ..serving.models import BranchedModel
from ..serving.ranking import Ranker, Recommendations
from ..serving.recommender import Recommender
from .coalition import places_of, worth_of
from .shapley import shapley_values


@dataclass(frozen=True)
class Past:
    """What a person chose, and what it has to do with what is recommended to them.

    Attributes
    ----------
    items : numpy.ndarray
        The items of the history that were read, each once, in the order in which they came last:
        tokens, dtype object ``[n_past]``.
    change : numpy.ndarray
        By how much each of them raises the score of each recommended item: the score less that
        without the past item. float32 ``[k, n_past]``.
    cosine : dict of str to numpy.ndarray
        By modality, the cosine of the features of both items, float32 ``[k, n_past]``; NaN where
        one has none.
    """

    items: np.ndarray
    change: np.ndarray
    cosine: dict[str, np.ndarray]


@dataclass(frozen=True)
class Explanation:
    """Recommendations for some people, and why.

    Numbers are NaN where there is no item, and for people of whom nothing is known.

    Attributes
    ----------
    recommendations : Recommendations
        With the shares of the branches and of the repeat bias.
    sources : tuple of str
        What the items have: ``id`` and the modalities.
    worth : numpy.ndarray
        Score of each item, without the repeat bias, when all items have some of the sources only,
        see :func:`.coalition.worth_of`: float64 ``[2 ** n_sources, n, k]``. Source s is there in
        number c if bit s of c is set.
    place_alone, place_without : numpy.ndarray
        Place from 1 that the model would give to each item if all items had one source only, or
        all but one: int64 ``[n, k, n_sources]``. 0 where the item lacks the source, and where no
        source is left.
    past : tuple of Past
        Of each person.
    """

    recommendations: Recommendations
    sources: tuple[str, ...]
    worth: np.ndarray
    place_alone: np.ndarray
    place_without: np.ndarray
    past: tuple[Past, ...]

    @cached_property
    def values(self) -> np.ndarray:
        """Shapley value of each source, float64 ``[n, k, n_sources]``."""
        return np.moveaxis(shapley_values(self.worth), 0, -1)

    @cached_property
    def without(self) -> np.ndarray:
        """Of :attr:`worth` the scores when one source is away, ``[n, k, n_sources]``."""
        return np.moveaxis(self.worth[all_but_one(len(self.sources))], 0, -1)


def all_but_one(n_sources: int) -> list[int]:
    """Give the numbers of the coalitions that lack one source, by this source."""
    return [2**n_sources - 1 - (1 << source) for source in range(n_sources)]


class Explainer:
    """Says what carries the recommendations of a model.

    Parameters
    ----------
    recommender : Recommender
        Of a checkpoint of IDMMDistill.

    Attributes
    ----------
    sources : tuple of str
        ``id`` and the modalities of the model.

    Raises
    ------
    UserError
        The model is one of RecBole's, which have no sources to tell apart.
    """

    def __init__(self, recommender: Recommender) -> None:
        if not isinstance(recommender.model, BranchedModel):
            raise UserError(
                f"{recommender.trained.path} is a model {type(recommender.model.model).__name__}, "
                "which has one source, the ID: there is nothing to tell apart.",
                "Give a checkpoint of IDMMDistill.",
            )
        self.recommender = recommender
        self.model: BranchedModel = recommender.model
        self.sources = tuple(self.model.sources)

    def explain(
        self,
        histories: Histories | Iterable[Sequence[str]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
    ) -> Explanation:
        """Recommend, and explain each recommendation.

        Parameters
        ----------
        histories : Histories or iterable of sequence of str
            What each person chose, the oldest first, see :meth:`.Ranker.recommend`.
        k : int
            Items for each.
        exclude_seen : bool
            Whether items of a person's own history are left out.

        Returns
        -------
        Explanation

        Raises
        ------
        UserError
            ``k`` cannot be.
        """
        if not isinstance(histories, Histories):
            histories = self.recommender.histories(histories)
        found = self.recommender.recommend(histories, k, exclude_seen=exclude_seen, shares=True)
        seen = histories if exclude_seen else None
        weights, missing = self.recommender.scoring.weights, all_but_one(len(self.sources))
        worth = np.empty((2 ** len(self.sources), *found.numbers.shape))
        alone, without = np.zeros((2, *found.numbers.shape, len(self.sources)), dtype=np.int64)
        for there, ranker in self.coalitions():
            states = ranker.states(histories)
            worth[there] = worth_of(ranker, states, found, weights)
            if there.bit_count() == 1:
                source = there.bit_length() - 1
                has = self.model.has_source(self.sources[source]).cpu().numpy()
                places = places_of(ranker, states, found, seen)
                alone[..., source] = np.where(has[found.numbers], places, 0)
            if there and there in missing:
                places = places_of(ranker, states, found, seen)
                without[..., missing.index(there)] = places
        past = tuple(self._past(histories, found, row) for row in range(len(found)))
        return Explanation(found, self.sources, worth, alone, without, past)

    def coalitions(self) -> Iterator[tuple[int, Ranker]]:
        """Give the model as it is with some of the sources only, for all choices of them.

        Yields
        ------
        there : int
            Which sources there are: source s if bit s is set.
        ranker : Ranker
            Scores with these.
        """
        everything = 2 ** len(self.sources) - 1
        recommender = self.recommender
        for there in tqdm(
            range(everything + 1), desc="taking out sources", leave=False, disable=None
        ):
            if there == everything:
                yield there, recommender
                continue
            away = [name for n, name in enumerate(self.sources) if not there >> n & 1]
            model = self.model.without(away)
            yield there, Recommender(recommender.trained, model, recommender.branches)

    def _past(self, histories: Histories, found: Recommendations, row: int) -> Past:
        """What the items of one person's history have to do with their recommendations."""
        recommender, person = self.recommender, histories.take(np.array([row]))
        read, length = person.padded(recommender.scoring.max_length)
        history = read[0, : length[0]]
        numbers = np.array(list(dict.fromkeys(history[::-1].tolist()))[::-1], dtype=np.int64)
        stays = history != numbers[:, None]  # [n_past, length]: a history without each item
        owner, place = np.nonzero(stays)
        shortened = Histories.of_rows(owner, history[place], len(numbers))
        scored = found.numbers[row]
        vectors = recommender.scoring.index.rows(scored)
        change = vectors @ (recommender.states(person) - recommender.states(shortened)).T
        repeated = recommender.repeats(shortened, np.tile(scored, (len(numbers), 1)))
        change += (recommender.repeats(person, scored[None]) - repeated).T.astype(np.float32)
        change[scored == 0] = np.nan
        modalities = [name for name in self.sources if name != ID]
        cosine = {name: self._cosine(name, scored, numbers) for name in modalities}
        return Past(recommender.items[numbers], change, cosine)

    def _cosine(self, modality: str, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Cosines of items' features, float32 ``[len(some), len(others)]``; NaN where none."""
        units = []
        for numbers in (some, others):
            item = torch.from_numpy(numbers).to(self.model.device)
            vectors = self.model.features(modality, item).cpu().numpy()
            norm = np.linalg.norm(vectors, axis=1, keepdims=True)
            norm[norm == 0] = np.nan
            units.append(vectors / norm)
        return units[0] @ units[1].T
