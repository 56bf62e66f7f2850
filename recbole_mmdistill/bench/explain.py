"""What the values of an explanation are worth, by criteria that they can fail.

The first criterion is the score: is the source with the largest Shapley value the one without which
the score falls most? This alone proves little, for three reasons. Values and falls are computed
from the same scores of coalitions, so that both agree by algebra where there are two sources, or
where sources exchange nothing. The best constant guess is right nearly as often where one source
carries all. And recommended items were chosen for their scores.

So each number stands beside those of other ways to choose, the best constant among them; it is
measured for items drawn at random, too; and two more criteria are measured that the values know
nothing of: the score by which the model itself would rank without the source, where it multiplies
the weights of what is left, and the item's place in that ranking.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..explain import Explainer, shapley_values
from ..explain.coalition import places_of, worth_of
from ..explain.explainer import all_but_one
from ..serving.histories import Histories
from ..serving.people import KnownUsers
from ..serving.ranking import Recommendations
from ..serving.recommender import Recommender
from .report import compare

_K, _USERS = 10, 300
_FARTHEST = 1e-5  # that shares and values may be from the score
_KINDS = 3  # of customers


def measure(rounds: int, checkpoint: str | None = None) -> list[dict[str, Any]]:
    """Measure an explanation's claims.

    Parameters
    ----------
    rounds : int
        Made-up shops, each with a model of its own; one round if there is a checkpoint.
    checkpoint : str, optional
        Of a model with at least two sources, whose dataset is there; by default models are trained
        on made-up shops, in which some customers choose by text, some by picture and some by what
        others chose.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`: misses of the largest value against
        those of the best other way; with ``right``, the share of hits of each way.
    """
    logging.disable(logging.WARNING)
    found: list[dict[str, Any]] = []
    for seed in range(1 if checkpoint else rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(checkpoint) if checkpoint else train_shop(Path(folder), seed)
            found.append(_measure(path, seed))
    results = []
    for name in found[0]["right"]:
        right = {
            way: [each["right"][name][way] for each in found] for way in found[0]["right"][name]
        }
        means = {way: float(np.mean(hits)) for way, hits in right.items()}
        best = max(means.keys() - {"largest value"}, key=lambda way: means[way])
        ours, others = (
            [max(1 - hit, 1e-6) for hit in right[way]] for way in ("largest value", best)
        )
        result = compare(f"{name}: misses, largest value / {best}", ours, others, 1.0)
        results.append({**result, "right": {way: round(mean, 4) for way, mean in means.items()}})
    farthest = [each["farthest"] for each in found]
    name = f"farthest sum from its score / {_FARTHEST:g}"
    result = compare(name, farthest, [_FARTHEST] * len(found), 1.0)
    results.append({**result, "largest_score": max(each["largest_score"] for each in found)})
    return results


def _measure(path: Path, seed: int) -> dict[str, Any]:
    recommender = Recommender.from_checkpoint(path, device="cpu")
    explainer = Explainer(recommender)
    rng = np.random.default_rng(seed)
    everyone = [some.histories for some in KnownUsers(recommender)]
    chosen = everyone[0].take(np.sort(rng.permutation(len(everyone[0]))[:_USERS]))
    found = recommender.recommend(chosen, _K, exclude_seen=False, shares=True)
    assert found.shares is not None
    drawn = rng.integers(1, len(recommender.items), found.numbers.shape)
    right: dict[str, dict[str, float]] = {}
    for name, some in (
        ("recommended", found),
        ("drawn", replace(found, numbers=drawn, shares=_branch_shares(recommender, chosen, drawn))),
    ):
        for criterion, hits in _right(explainer, chosen, some).items():
            right[f"{name} items, {criterion}"] = hits
    explained = explainer.explain(chosen, _K, exclude_seen=False)
    score = found.scores.astype(np.float64)
    repeats = found.shares[..., len(recommender.branches) :].sum(2)
    distances = found.shares.sum(2) - score, explained.values.sum(2) + repeats - score
    return {
        "right": right,
        "farthest": float(max(np.nanmax(np.abs(distance)) for distance in distances)),
        "largest_score": float(np.nanmax(np.abs(score))),
    }


def _branch_shares(
    recommender: Recommender, histories: Histories, numbers: np.ndarray
) -> np.ndarray:
    """What each branch adds to the scores of items, ``[n, k, n_branches]``."""
    scoring = recommender.scoring
    products = scoring.index.rows(numbers) * recommender.states(histories)[:, None]
    starts = np.cumsum([0, *scoring.widths[:-1]])
    return np.add.reduceat(products, starts, axis=2, dtype=np.float64)


def _right(
    explainer: Explainer, histories: Histories, found: Recommendations
) -> dict[str, dict[str, float]]:
    """How often each way to choose a source names the one that a criterion does."""
    recommender, n_sources = explainer.recommender, len(explainer.sources)
    missing, shape = all_but_one(n_sources), found.numbers.shape
    weights = recommender.scoring.weights
    worth = np.empty((2**n_sources, *shape))
    own_score, own_place = np.empty((2, n_sources, *shape))
    for there, ranker in explainer.coalitions():
        states = ranker.states(histories)
        worth[there] = worth_of(ranker, states, found, weights)
        if there in missing:
            source = missing.index(there)
            own_score[source] = worth_of(ranker, states, found, ranker.scoring.weights)
            own_place[source] = places_of(ranker, states, found, None)
    values = shapley_values(worth)
    ways = {
        "largest value": values.argmax(0),
        "largest score alone": worth[[1 << source for source in range(n_sources)]].argmax(0),
        **{
            f"always {name}": np.full(shape, source)
            for source, name in enumerate(explainer.sources)
        },
    }
    assert found.shares is not None
    if set(recommender.branches) == set(explainer.sources):
        of_branch = [recommender.branches.index(name) for name in explainer.sources]
        ways["largest share of a branch"] = found.shares[..., of_branch].argmax(2)
    criteria = {
        "score with weights as they are": worth[missing].argmin(0),
        "score with the model's own weights": own_score.argmin(0),
        "place by the model's own weights": own_place.argmax(0),
    }
    return {
        criterion: {way: float((named == true).mean()) for way, named in ways.items()}
        for criterion, true in criteria.items()
    }


def train_shop(folder: Path, seed: int, n_users: int = 600, n_items: int = 300) -> Path:
    """Train a model on a made-up shop; its checkpoint.

    Items have a word, a look and a circle of customers, independent of one another. Features are
    noisy words and looks. A customer chooses by one of the three.
    """
    from ..features import FeatureInfo, write_features
    from ..pipeline import run

    rng = np.random.default_rng(seed)
    n_groups, per_user, dim = 10, 12, 32
    groups = rng.integers(0, n_groups, (_KINDS, n_items))
    place = folder / "shop"
    place.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(n_users):
        group = groups[user % _KINDS]
        liked = np.where(group == rng.integers(n_groups), 1.0, 0.02)
        items = rng.choice(n_items, per_user, replace=False, p=liked / liked.sum())
        lines += [f"u{user}\ti{item}\t{time}" for time, item in enumerate(items)]
    (place / "shop.inter").write_text("\n".join(lines) + "\n")
    tokens = [f"i{number}" for number in range(n_items)]
    for modality, group in (("text", groups[0]), ("image", groups[1])):
        centres = rng.normal(size=(n_groups, dim))
        values = (centres[group] + rng.normal(size=(n_items, dim))).astype(np.float32)
        info = FeatureInfo(modality, encoder="a made-up shop")
        write_features(place / f"shop.{modality}.safetensors", values, tokens, info)
    settings = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "modalities": ["text", "image"],
        "epochs": 15,
        "MAX_ITEM_LIST_LENGTH": 20,
        "seed": seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    made = run("IDMMDistill", "shop", settings)
    assert made.checkpoint is not None
    return made.checkpoint
