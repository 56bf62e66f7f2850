import math

import torch

from recbole_mmdistill.model.combine import Combination, centre
from tests.model.builders import model, windows

BRANCHES = ["id", "text", "image"]


def present(*columns):
    """Which sources some items have, one word each such as "id text"."""
    return torch.tensor([[name in column.split() for column in columns] for name in BRANCHES])


ALL = "id text image"


@torch.no_grad()
def test_a_source_that_an_item_lacks_adds_nothing_and_is_no_mean_of_the_others():
    combination = Combination(BRANCHES, {"id": 1, "text": 3, "image": 4})
    weights = combination(present(ALL, "id text"))
    torch.testing.assert_close(weights[:, 0], torch.tensor([1 / 8, 3 / 8, 4 / 8]))
    torch.testing.assert_close(weights[:, 1], torch.tensor([1 / 8, 3 / 8, 0]))
    of_two = combination(present("id text")[:2], [0, 1])
    torch.testing.assert_close(of_two[:, 0], torch.tensor([1 / 4, 3 / 4]))


@torch.no_grad()
def test_without_weights_all_branches_are_equal_and_nothing_is_learned():
    combination = Combination(BRANCHES, None)
    assert not list(combination.parameters())
    torch.testing.assert_close(combination(present(ALL)), torch.full((3, 1), 1 / 3))
    assert torch.equal(combination.in_training(present(ALL)), combination(present(ALL)))


def test_where_a_source_is_missing_the_others_count_for_more_by_a_learned_factor():
    recommender = model(branch_weights="learned")
    combination = recommender.network.combination
    sum(recommender.calculate_loss(windows([1, 2, 3, 4, 5], [6, 7, 8]))).backward()
    assert combination.log_missing_factor.grad[1] == 0  # no item lacks text
    assert combination.log_missing_factor.grad[2] != 0
    with torch.no_grad():
        combination.log_missing_factor[2] = math.log(1.5)
        weights = combination(present(ALL, "id text"))
    torch.testing.assert_close(weights[:, 0], torch.full((3,), 1 / 3))
    torch.testing.assert_close(weights[:, 1], 1.5 * torch.tensor([1 / 3, 1 / 3, 0]))


@torch.no_grad()
def test_the_other_sources_of_an_item_that_training_never_saw_replace_its_id():
    combination = Combination(BRANCHES, {"id": 1, "text": 3, "image": 4}, new_item_weight=1.4)
    weights = combination(present("text image", "text"))
    torch.testing.assert_close(weights[:, 0], 1.4 * torch.tensor([0, 3 / 7, 4 / 7]))
    torch.testing.assert_close(weights[:, 1], 1.4 * torch.tensor([0, 1.0, 0]))
    without_id = combination(present("text image")[1:], [1, 2])  # then it is an item as any other
    torch.testing.assert_close(without_id[:, 0], torch.tensor([3 / 7, 4 / 7]))


@torch.no_grad()
def test_a_new_item_has_a_learned_factor_besides():
    combination = Combination(BRANCHES, "learned", new_item_weight=1.4)
    combination.log_missing_factor.copy_(torch.tensor([1.5, 7.0, 2.0]).log())
    weights = combination(present("text"))
    torch.testing.assert_close(weights[:, 0], torch.tensor([0, 1.5 * 1.4, 0]))


def test_centred_vectors_have_the_mean_0_over_what_counts():
    vectors = torch.randn(2, 5, 3)
    counts = torch.tensor([[1.0, 1, 0, 2, 1], [0, 0, 0, 0, 1]])
    centred = centre(vectors, counts)
    torch.testing.assert_close((centred * counts[..., None]).sum(1), torch.zeros(2, 3))
