"""A source that is taken from all items is as one that no item ever had."""

import pytest
import torch

from recbole_mmdistill.model import ITEM_ENCODERS
from recbole_mmdistill.model.feature_lookup import FeatureTable
from recbole_mmdistill.model.user_encoder import USER_ENCODERS
from tests.model.builders import N_ITEMS, features, model

ITEM_SEQ, LENGTH = torch.tensor([[1, 2, 3, 4], [6, 7, 0, 0]]), torch.tensor([4, 2])


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def drawn(**options):
    """A model of which every weight matters."""
    made = model(weight_average=0, **options)
    for parameter in made.parameters():
        parameter.add_(torch.randn(parameter.shape) * 0.3)
    return made


def scores(scorer):
    branches = range(len(scorer.network.branches))
    return scorer.user_states(ITEM_SEQ, LENGTH, branches) @ scorer.table(branches).T


@pytest.mark.parametrize("user_encoder", USER_ENCODERS)
@pytest.mark.parametrize("item_encoder", sorted(ITEM_ENCODERS))
class TestEveryEncoder:
    @pytest.fixture
    def made(self, item_encoder, user_encoder):
        return drawn(item_encoder=item_encoder, user_encoder=user_encoder)

    @pytest.mark.parametrize("source", ["text", "image"])
    def test_a_modality_is_missing_as_if_no_item_had_features(self, made, source):
        found = scores(made.scorer.without([source]))
        every_item = range(N_ITEMS)
        table = FeatureTable(features(1, missing=every_item))
        made.network.source_embedding[source].table = table
        made._derive_from_counts()
        torch.testing.assert_close(found, scores(made._make_scorer()))

    def test_without_the_id_no_id_matters(self, made):
        found = scores(made.scorer.without(["id"]))
        weight = made.network.id_embedding.weight
        weight[1:] = weight[1:].flip(0)
        torch.testing.assert_close(found, scores(made.scorer.without(["id"])))
        assert not torch.allclose(found, scores(made.scorer), atol=1e-3)

    def test_without_any_source_all_items_have_the_score_0(self, made):
        found = scores(made.scorer.without(["id", "text", "image"]))
        torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-5, rtol=0)

    def test_without_nothing_the_scores_are_the_models_own(self, made):
        assert torch.equal(scores(made.scorer.without([])), scores(made.scorer))

    def test_the_model_stays_as_it_is(self, made):
        before = scores(made.scorer)
        scores(made.scorer.without(["text"]))
        assert torch.equal(scores(made.scorer), before)


def test_a_branch_without_its_source_has_no_weight():
    scorer = drawn().scorer.without(["text"])
    weights = scorer.network.combination(scorer.catalogue.present)
    assert scorer.network.branches == ["id", "text", "image"]
    assert (weights[1] == 0).all() and (weights[0, 1:] > 0).all()
