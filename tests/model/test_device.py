"""A step on a GPU: it asks for no value, and computes what a step on the CPU computes."""

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_mmdistill.model import SEQUENCE_ENCODERS, device, losses
from tests.model.builders import model, prefixes, windows

HISTORIES = [[1, 2, 3, 4, 2], [6, 7, 8], [5, 1]]


def batch_of(make):
    batch = make(*HISTORIES)
    if "target_item_id_list" in batch:
        row, position = batch["target_item_id_list"].nonzero(as_tuple=True)
        batch.update(Interaction({"target_row": row, "target_position": position}))
    return batch


def losses_and_gradients(recommender, batch):
    torch.manual_seed(3)
    recommender.zero_grad()
    losses = recommender.calculate_loss(batch)
    sum(losses).backward()
    return [loss.item() for loss in losses], [p.grad for p in recommender.parameters()]


@pytest.mark.parametrize("make", [windows, prefixes])
@pytest.mark.parametrize("encoder", sorted(SEQUENCE_ENCODERS))
@pytest.mark.parametrize(
    "options",
    [
        {"train_candidates": "full"},
        {"train_candidates": "in_batch"},
        {"train_candidates": "in_batch", "item_encoder": "concat"},
        {"train_candidates": "full", "fused_loss": False, "user_encoder": "id_apart"},
        {"train_candidates": "in_batch", "fused_loss": False, "user_encoder": "shared"},
    ],
)
def test_loss_and_gradients_are_those_of_the_cpu(monkeypatch, make, encoder, options):
    recommender = model(sequence_encoder=encoder, kd_ramp_epochs=0, **options).train()
    torch.nn.init.normal_(recommender.network.repeat_bias.weight, std=0.1)
    batch = batch_of(make)
    expected = losses_and_gradients(recommender, batch)
    recommender._n_steps = 0
    monkeypatch.setattr(device, "on_host", lambda tensor: False)
    found = losses_and_gradients(recommender, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [windows, prefixes])
@pytest.mark.parametrize("candidates", ["full", "in_batch", "sampled"])
@pytest.mark.parametrize("encoder", sorted(SEQUENCE_ENCODERS))
def test_no_step_asks_for_a_value(monkeypatch, make, candidates, encoder):
    # Tensors of the device meta have shapes alone: whoever asks for a value gets an error.
    monkeypatch.setattr(losses, "seeded", lambda on, seed: None)  # it draws no random numbers
    recommender = model(train_candidates=candidates, n_negatives=3, sequence_encoder=encoder)
    recommender = recommender.train().to("meta")
    optimizer = torch.optim.AdamW(recommender.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        sum(recommender.calculate_loss(batch_of(make).to("meta"))).backward()
        optimizer.step()
