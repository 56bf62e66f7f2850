"""Training: the optimiser that a run gets."""

import pytest
import torch

from recbole_mmdistill.pipeline import run
from tests.integration.builders import SMALL, write_dataset

IDS = "network.id_embedding.weight"
NO_DECAY = {**SMALL, "weight_decay": 0.0, "weight_average": 0, "saved": False}


@pytest.mark.parametrize("learner", ["adamw", "adam", "sgd"])
def test_the_id_embedding_may_learn_at_a_rate_of_its_own(learner):
    """At next to none it stays as it began, and all else learns."""
    write_dataset()
    settings = {**NO_DECAY, "learner": learner, "learning_rate": 0.01, "id_learning_rate": 1e-12}
    few = run("IDMMDistill", "small", {**settings, "epochs": 1}).model.state_dict()
    many = run("IDMMDistill", "small", {**settings, "epochs": 2, "stopping_step": 9}).model
    moved = {name for name, was in few.items() if not torch.equal(was, many.state_dict()[name])}
    torch.testing.assert_close(few[IDS], many.state_dict()[IDS], rtol=0, atol=1e-9)
    assert any(name.startswith("network.user_encoder") for name in moved)


def test_without_it_the_id_embedding_learns_as_all_else():
    write_dataset()
    small = {**SMALL, "learning_rate": 0.003}
    same = run("IDMMDistill", "small", {**small, "id_learning_rate": 0.003}).model.state_dict()
    plain = run("IDMMDistill", "small", small).model.state_dict()
    assert all(torch.equal(plain[name], value) for name, value in same.items())
