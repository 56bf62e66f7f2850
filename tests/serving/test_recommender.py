"""Recommendations against RecBole's own full ranking, written out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import FeatureInfo, write_features
from recbole_mmdistill.pipeline import run
from recbole_mmdistill.serving import Recommender
from tests.integration.builders import SMALL
from tests.serving.builders import MODELS, predict, save_checkpoint, write_files

LONG = [f"i{n % 15}" for n in range(3, 40, 4)] + ["i3", "i7"]  # twelve items, ten are read
HISTORIES = [["i1", "i5"], LONG, ["i2"], ["i14", "i14", "i3"]]


@pytest.fixture(autouse=True)
def files():
    write_files()


def numbers_of(recommender, histories):
    return [[recommender.number_of[token] for token in history] for history in histories]


def best(scores, k, without=()):
    """Items by falling score, literally."""
    allowed = [item for item in range(1, len(scores)) if item not in without]
    return sorted(allowed, key=lambda item: -scores[item])[:k]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_top_k_are_those_of_full_sort_predict(name, exclude_seen):
    path, model = save_checkpoint(name)
    recommender = Recommender.from_checkpoint(path)
    read = [history[-10:] for history in numbers_of(recommender, HISTORIES)]
    scores = predict(model, read)
    found = recommender.recommend(HISTORIES, 5, exclude_seen=exclude_seen, shares=True)
    for row, history in enumerate(numbers_of(recommender, HISTORIES)):
        expected = best(scores[row], 5, history if exclude_seen else ())
        assert found.numbers[row, : len(expected)].tolist() == expected
        assert found.items[row, : len(expected)].tolist() == [
            recommender.items[n] for n in expected
        ]
        np.testing.assert_allclose(
            found.scores[row, : len(expected)], scores[row, expected], atol=1e-5
        )
    np.testing.assert_allclose(found.shares.sum(2), found.scores, atol=1e-5)


def test_the_interactions_are_not_needed():
    path, _ = save_checkpoint()
    Path("dataset/small/small.inter").unlink()
    found = Recommender.from_checkpoint(path).recommend([["i1"]], 3)
    assert found.items.shape == (1, 3)


def test_a_trained_model_is_read_with_its_averaged_weights():
    made = run("IDMMDistill", "small", {**SMALL, "epochs": 2})
    recommender = Recommender.from_checkpoint(made.checkpoint)
    scores = predict(made.model.eval(), numbers_of(recommender, HISTORIES[:1]))[0]
    found = recommender.recommend(HISTORIES[:1], 4, exclude_seen=False)
    assert found.numbers[0].tolist() == best(scores, 4)


def test_sources_score_as_scoring_with_does():
    path, model = save_checkpoint()
    recommender = Recommender.from_checkpoint(path).with_sources(["image", "id"])
    assert recommender.parts == ("id", "image", "repeats")
    with model.scoring_with(["id", "image"]):
        scores = predict(model, numbers_of(recommender, HISTORIES[:1]))[0]
    found = recommender.recommend(HISTORIES[:1], 15, exclude_seen=False)
    np.testing.assert_allclose(found.scores[0], np.sort(scores[1:])[::-1], atol=1e-5)


def test_a_weight_multiplies_a_branchs_share_and_its_part_of_the_repeats():
    path, _ = save_checkpoint()
    recommender = Recommender.from_checkpoint(path)
    options = {"exclude_seen": False, "shares": True}
    plain = recommender.recommend(HISTORIES[:1], 15, **options)
    weighted = recommender.recommend(HISTORIES[:1], 15, weights={"text": 3, "id": 0}, **options)
    branch_weights = recommender.scoring.weights
    for item, share, score in zip(weighted.items[0], weighted.shares[0], weighted.scores[0]):
        place = plain.items[0].tolist().index(item)
        of_id, text, image, repeats = plain.shares[0, place]
        of_branch = branch_weights[recommender.number_of[item]]
        repeats *= (of_branch * [0, 3, 1]).sum() / of_branch.sum()
        np.testing.assert_allclose(share, [0, 3 * text, image, repeats], atol=1e-6)
        assert abs(share.sum() - score) < 1e-5
        assert of_id != 0


def test_shares_add_up_to_large_scores():
    recommender = Recommender.from_checkpoint(save_checkpoint()[0])
    many = dict.fromkeys(recommender.branches, 20.0)
    found = recommender.recommend(HISTORIES, 5, exclude_seen=False, weights=many, shares=True)
    assert found.scores.max() > 15
    np.testing.assert_allclose(found.shares.sum(2), found.scores, rtol=0, atol=1e-5)


def test_only_and_exclude_choose_the_candidates():
    path, model = save_checkpoint()
    recommender = Recommender.from_checkpoint(path)
    history = numbers_of(recommender, [["i1", "i5"]])
    scores = predict(model, history)[0]
    only = ["i5", "i2", "i8", "i11", "nothing"]
    found = recommender.recommend([["i1", "i5"]], 4, only=only, exclude=["i8"])
    left = [recommender.number_of[token] for token in ("i2", "i11")]
    expected = sorted(left, key=lambda item: -scores[item])
    assert found.numbers[0].tolist() == [*expected, 0, 0]
    assert found.items[0, 2:].tolist() == [None, None] and np.isnan(found.scores[0, 2:]).all()


def test_unknown_items_are_skipped_and_counted():
    path, _ = save_checkpoint()
    recommender = Recommender.from_checkpoint(path)
    found = recommender.recommend([["x", "i1", "y", "i5"], ["i1", "i5"]], 5)
    assert found.n_unknown.tolist() == [2, 0] and not found.is_popular.any()
    assert found.items[0].tolist() == found.items[1].tolist()


@pytest.mark.parametrize("name", ["three branches", "SASRec"])
def test_nothing_known_gets_the_most_popular(name):
    path, _ = save_checkpoint(name)
    recommender = Recommender.from_checkpoint(path)
    found = recommender.recommend([["x"], [], ["i1"]], 3, exclude=["i4"], shares=True)
    assert found.is_popular.tolist() == [True, True, False]
    order = sorted(range(1, 16), key=lambda item: -recommender.popularity[item])
    expected = [recommender.items[n] for n in order if recommender.items[n] != "i4"][:3]
    assert found.items[0].tolist() == found.items[1].tolist() == expected
    assert np.isnan(found.scores[:2]).all() and np.isnan(found.shares[:2]).all()


def test_nobody_gets_nothing():
    path, _ = save_checkpoint()
    found = Recommender.from_checkpoint(path).recommend([], 3)
    assert found.items.shape == (0, 3) and len(found) == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 16}, "k is 16"),
        ({"only": ["x", "y"]}, "None of the 2 items of only is known"),
        ({"exclude": ["x"]}, "None of the 1 items of exclude is known"),
        ({"weights": {"txt": 2}}, "weights names 'txt'.*near it: text"),
        ({"weights": {"text": -1}}, "weight of text is -1"),
        ({"weights": {"text": float("nan")}}, "weight of text is nan"),
        ({"weights": {"id": 0, "text": 0, "image": 0}}, "All branches have the weight 0"),
    ],
)
def test_what_cannot_be_is_said(options, what):
    path, _ = save_checkpoint()
    recommender = Recommender.from_checkpoint(path)
    with pytest.raises(UserError, match=what):
        recommender.recommend([["i1"]], **{"k": 3, **options})


def test_a_source_that_is_none_is_said():
    path, _ = save_checkpoint()
    with pytest.raises(UserError, match=r"'txt' is no branch of the model.*near it: text"):
        Recommender.from_checkpoint(path).with_sources(["id", "txt"])


def test_missing_features_are_said():
    path, _ = save_checkpoint()
    Path("dataset/small/small.text.safetensors").unlink()
    with pytest.raises(UserError, match=r"small\.text\.safetensors"):
        Recommender.from_checkpoint(path)


def test_other_features_are_refused():
    path, _ = save_checkpoint()
    values = torch.randn(15, 1, 4, generator=torch.Generator().manual_seed(9))
    info = FeatureInfo("text", encoder="numbers")
    tokens = [f"i{item}" for item in range(15)]
    write_features("dataset/small/small.text.safetensors", values, tokens, info)
    with pytest.raises(UserError, match="The text features of all 15 items are other ones"):
        Recommender.from_checkpoint(path)


def test_a_model_without_an_adapter_is_said():
    made = run("BERT4Rec", "small", {**SMALL, "epochs": 0, "modalities": []})
    with pytest.raises(UserError, match="model BERT4Rec"):
        Recommender.from_checkpoint(made.checkpoint)
