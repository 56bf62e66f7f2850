"""What evaluation has computed is never used after a change of what it was computed from."""

import pytest
import torch

from tests.model.builders import model, prefixes, windows

BATCH = prefixes([1, 2, 3, 4], [6, 7])


def trained_step(recommender):
    recommender.train()
    optimizer = torch.optim.SGD(recommender.parameters(), lr=0.5)
    sum(recommender.calculate_loss(windows([1, 2, 3]))).backward()
    optimizer.step()
    recommender.eval()


def step_in_evaluation_mode(recommender):
    optimizer = torch.optim.SGD(recommender.parameters(), lr=0.5)
    sum(recommender.calculate_loss(windows([1, 2, 3]))).backward()
    optimizer.step()


CHANGES = {
    "a weight in place": lambda m: m.network.id_embedding.weight.add_(torch.randn(9, 8)),
    "one value": lambda m: m.network.id_embedding.weight[3, 1].add_(1.0),
    "a new tensor": lambda m: setattr(m.network.id_embedding.weight, "data", torch.randn(9, 8)),
    "a new parameter": lambda m: setattr(
        m.network.id_embedding, "weight", torch.nn.Parameter(torch.randn(9, 8))
    ),
    "a checkpoint": lambda m: m.load_state_dict(
        model(seed=5, weight_average=0.9 if m.weight_average else 0).state_dict()
    ),
    "a step of training": trained_step,
    "a step in evaluation mode": step_in_evaluation_mode,
    "the repeat bias": lambda m: m.network.repeat_bias.weight.sub_(1.0),
    "the weights of the branches": lambda m: m.network.combination.weight_logit[0].add_(1.0),
    "the wish for new items": lambda m: (
        m.train_count[5].fill_(0),
        m._derive_from_counts(),
        m.network.combination.new_item_weight.fill_(3.0),
    ),
}


@pytest.mark.parametrize("weight_average", [0, 0.9])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_the_next_prediction(change, weight_average):
    recommender = model(weight_average=weight_average)
    with torch.no_grad():
        before = recommender.full_sort_predict(BATCH)
    with torch.set_grad_enabled("step" in change):
        CHANGES[change](recommender)
    with torch.no_grad():
        after = recommender.full_sort_predict(BATCH)
        recommender._scorers.drop()
        assert torch.equal(after, recommender.full_sort_predict(BATCH))
    assert not torch.allclose(before, after, atol=1e-7)


def test_switching_to_training_frees_the_memory():
    recommender = model()
    with torch.no_grad():
        recommender.full_sort_predict(BATCH)
    scorer = recommender._scorers
    assert scorer._scorer is not None
    recommender.train()
    assert scorer._scorer is None


def test_with_gradients_predictions_are_part_of_the_graph():
    recommender = model(weight_average=0)
    recommender.full_sort_predict(BATCH).sum().backward()
    assert recommender.network.id_embedding.weight.grad is not None
    recommender.full_sort_predict(BATCH).sum().backward()
