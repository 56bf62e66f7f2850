"""Explanations against the model's own scores, written out."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.explain import Explainer, summarise
from recbole_mmdistill.features import open_features
from recbole_mmdistill.serving import Recommender
from tests.serving.builders import MODELS, predict, save_checkpoint, write_files

OWN = [name for name, (kind, _) in MODELS.items() if kind == "IDMMDistill"]
HISTORIES = [["i1", "i5"], ["i3", "i2", "i3", "i14"], ["i4"], ["unheard"]]


@pytest.fixture(autouse=True)
def files():
    write_files()


def made(name="three branches", **settings):
    path, model = save_checkpoint(name, **settings)
    return Explainer(Recommender.from_checkpoint(path)), model


def without_repeats(model):
    if model.network.repeat_bias is not None:
        torch.nn.init.zeros_(model.network.repeat_bias.weight)
    return model


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_shares_and_values_add_up_to_the_score(name, exclude_seen):
    explainer, _ = made(name)
    explained = explainer.explain(HISTORIES, 5, exclude_seen=exclude_seen)
    found, known = explained.recommendations, slice(3)
    np.testing.assert_allclose(found.shares[known].sum(2), found.scores[known], atol=1e-5)
    repeats = found.shares[known, :, -1] if "repeats" in found.parts else 0
    values = explained.values[known]
    np.testing.assert_allclose(
        values.sum(2), (explained.worth[-1] - explained.worth[0])[known], atol=1e-9
    )
    np.testing.assert_allclose(explained.worth[0, known], 0, atol=1e-5)
    np.testing.assert_allclose(values.sum(2) + repeats, found.scores[known], atol=1e-5)


def test_the_worth_is_the_weighted_score_of_branches_whose_items_have_these_sources():
    explainer, model = made()
    explained = explainer.explain(HISTORIES[:2], 4)
    numbers = explained.recommendations.numbers
    for there in range(8):
        away = [name for n, name in enumerate(["id", "text", "image"]) if not there >> n & 1]
        with torch.no_grad():
            scorer = model.scorer.without(away)
            item_seq, length = explainer.recommender.histories(HISTORIES[:2]).padded(10)
            states = scorer.user_states(*map(torch.from_numpy, (item_seq, length)), range(3))
            present = scorer.catalogue.present
            counted = present[:, scorer.catalogue.trained_items, None].float()
            trained = scorer.vectors[:, scorer.catalogue.trained_items] * counted
            mean = trained.sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
            weights = model.network.combination(model.catalogue.present) * present
            scores = torch.einsum(
                "nbd,bid,bi->ni", states.view(2, 3, -1), scorer.vectors - mean, weights
            )
        expected = np.take_along_axis(scores.numpy(), numbers, axis=1)
        np.testing.assert_allclose(explained.worth[there], expected, atol=1e-5)


def test_without_exchange_between_sources_a_sources_value_is_its_branchs_share():
    explainer, _ = made("three branches", item_encoder="late")
    explained = explainer.explain(HISTORIES[:3], 5)
    shares = explained.recommendations.shares[..., :3]
    np.testing.assert_allclose(explained.values, shares, atol=1e-5)


def test_places_are_those_by_each_source_alone_and_by_all_others():
    explainer, model = made()
    (history,) = [[explainer.recommender.number_of[token] for token in HISTORIES[0]]]
    explained = explainer.explain(HISTORIES[:1], 13)
    numbers = explained.recommendations.numbers[0].tolist()
    assert sorted(numbers + history) == list(range(1, 16))

    def places(away):
        with torch.no_grad():
            scorer = model.scorer.without(away)
            states = scorer.user_states(torch.tensor([history]), torch.tensor([2]), range(3))
            score = (states @ scorer.table(range(3)).T)[0]
        return [1 + sum(score[other] > score[own] + 1e-4 for other in numbers) for own in numbers]

    for source, name in enumerate(explainer.sources):
        has = explainer.model.has_source(name)[numbers].tolist()
        alone = places([other for other in explainer.sources if other != name])
        expected = [place if there else 0 for place, there in zip(alone, has)]
        assert explained.place_alone[0, :, source].tolist() == expected
        assert explained.place_without[0, :, source].tolist() == places([name])


def test_items_without_a_picture_have_no_place_by_it():
    explainer, _ = made()
    explained = explainer.explain([["i1"]], 14)
    lacks = [
        item in ("i10", "i11", "i12", "i13", "i14") for item in explained.recommendations.items[0]
    ]
    assert (explained.place_alone[0, :, 2] == 0).tolist() == lacks
    assert (explained.place_alone[0, :, 1] > 0).all()
    assert (explained.place_without > 0).all()


def test_a_past_item_changes_the_score_by_what_it_falls_without_it():
    explainer, model = made()
    explained = explainer.explain(HISTORIES[1:2], 5)
    (past,), numbers = explained.past, explained.recommendations.numbers[0]
    assert past.items.tolist() == ["i2", "i3", "i14"]  # in the order in which they came last
    number_of = explainer.recommender.number_of
    whole = predict(without_repeats(model), [[number_of[token] for token in HISTORIES[1]]])
    for n, item in enumerate(past.items):
        rest = [number_of[token] for token in HISTORIES[1] if token != item]
        change = (whole - predict(model, [rest]))[0, numbers]
        np.testing.assert_allclose(past.change[:, n], change, atol=1e-5)


@pytest.mark.parametrize("name", ["three branches", "ID alone, no repeat bias"])
def test_a_past_item_that_is_recommended_again_changes_its_repeat_bias(name):
    explainer, model = made(name)
    explained = explainer.explain(HISTORIES[1:2], 15, exclude_seen=False)
    (past,), numbers = explained.past, explained.recommendations.numbers[0]
    number_of = explainer.recommender.number_of
    whole, *rest = (
        predict(model, [[number_of[token] for token in HISTORIES[1] if token != item]])[0, numbers]
        for item in ["", *past.items]
    )
    np.testing.assert_allclose(past.change, (whole - np.array(rest)).T, atol=1e-5)


def test_the_only_past_item_carries_the_whole_score():
    explainer, _ = made()
    explained = explainer.explain([["i4"]], 5)
    np.testing.assert_allclose(
        explained.past[0].change[:, 0], explained.recommendations.scores[0], atol=1e-5
    )


def test_of_a_long_history_the_items_that_were_read():
    explainer, _ = made()
    explained = explainer.explain([[f"i{n}" for n in range(13)]], 2)
    assert explained.past[0].items.tolist() == [f"i{n}" for n in range(3, 13)]


def test_cosines_are_those_of_the_features():
    explainer, _ = made()
    explained = explainer.explain([["i1", "i12"]], 13)
    (past,) = explained.past
    stored = open_features("dataset/small/small.image.safetensors")
    vector = dict(zip(stored.item_tokens, stored.values.float().mean(1).numpy()))
    for place, item in enumerate(explained.recommendations.items[0]):
        expected = np.nan
        if item in vector:
            norms = np.linalg.norm(vector[item]) * np.linalg.norm(vector["i1"])
            expected = vector[item] @ vector["i1"] / norms
        np.testing.assert_allclose(past.cosine["image"][place, 0], expected, atol=1e-5)
    assert np.isnan(past.cosine["image"][:, 1]).all()  # i12 has no picture
    assert np.isfinite(past.cosine["text"]).all()


def test_of_people_of_whom_nothing_is_known_nothing_is_said():
    explainer, _ = made()
    explained = explainer.explain(HISTORIES, 3)
    assert explained.recommendations.is_popular.tolist() == [False, False, False, True]
    assert np.isnan(explained.worth[:, 3]).all() and np.isnan(explained.values[3]).all()
    assert (explained.place_alone[3] == 0).all() and (explained.place_without[3] == 0).all()
    assert len(explained.past[3].items) == 0


def test_nobody_gets_nothing():
    explainer, _ = made()
    explained = explainer.explain([], 3)
    assert explained.values.shape == (0, 3, 3) and explained.past == ()


@pytest.mark.parametrize("name", ["SASRec", "GRU4Rec"])
def test_a_model_of_one_source_is_refused(name):
    path, _ = save_checkpoint(name)
    with pytest.raises(UserError, match=f"model {name}, which has one source"):
        Explainer(Recommender.from_checkpoint(path))


def test_the_whole_is_made_of_the_single_explanations():
    explainer, _ = made()
    histories = explainer.recommender.histories(HISTORIES)
    summary = summarise(explainer, histories, 4)
    explained = explainer.explain(HISTORIES[:3], 4)
    carrier = explained.values.argmax(2)
    assert (summary.n_people, summary.all.n) == (3, 12)
    for source, name in enumerate(explainer.sources):
        assert summary.all.carried[name] == pytest.approx((carrier == source).mean())
        mean = explained.values[..., source].mean()
        assert summary.all.value[name] == pytest.approx(mean)
        others = Recommender(
            explainer.recommender.trained, explainer.model.without([name])
        ).recommend(HISTORIES[:3], 4)
        pairs = zip(explained.recommendations.items, others.items)
        kept = sum(len({*some} & {*other}) for some, other in pairs)
        assert summary.taken_away[name].replaced == pytest.approx(1 - kept / 12)
    assert sum(group.n for group in summary.by_popularity) == 12
    assert [(group.name, group.n) for group in summary.by_length] == [("1 to 5", 12)]
    items = explained.recommendations.items
    assert summary.n_items == len({*items.ravel()}) == sum(summary.items_carried.values())
    least = explained.without.argmin(2)
    assert summary.agreement == pytest.approx((least == carrier).mean())


def test_of_nobody_there_is_no_whole():
    explainer, _ = made()
    assert summarise(explainer, explainer.recommender.histories([["unheard"]])) is None


def test_a_model_of_one_source_of_its_own_has_nothing_to_take_away():
    explainer, _ = made("ID alone, no repeat bias")
    summary = summarise(explainer, explainer.recommender.histories(HISTORIES), 3)
    assert summary.taken_away == {} and summary.all.carried == {"id": 1.0}
    assert (explainer.explain(HISTORIES, 3).place_without == 0).all()


def test_the_code_of_the_page_runs():
    text = (Path(__file__).parents[2] / "docs/explaining.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    code = code.replace("saved/IDMMDistill-....pth", save_checkpoint()[0])
    exec(code.replace('"50", "181"', '"i5", "i8"'), names := {})
    assert names["explained"].values.shape == (1, 3, 3)
    assert names["summary"].n_people == 1
