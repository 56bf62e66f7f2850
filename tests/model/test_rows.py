import pytest
import torch

from recbole_mmdistill.model.rows import (
    OPTIMIZERS,
    RowAdam,
    RowAdamW,
    RowEmbedding,
    updates_rows,
)
from tests.model.builders import model, prefixes, windows


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, True),
        ({"n_items": 99_999}, False),
        ({"device": "cuda"}, False),
        ({"alone": False}, False),
        ({"learner": "sgd"}, False),
        ({"id_updates": "all"}, False),
        ({"id_updates": "rows", "n_items": 5}, True),
    ],
)
def test_when_rows_are_updated(options, rows):
    usual = {"id_updates": "auto", "n_items": 100_000, "learner": "AdamW", "device": "cpu"}
    assert updates_rows(**{**usual, "alone": True, **options}) == rows


@pytest.mark.parametrize("plain", sorted(OPTIMIZERS, key=str))
def test_a_table_all_of_whose_rows_are_read_is_trained_as_by_torch(plain):
    torch.manual_seed(0)
    table, dense = RowEmbedding(4, 3), torch.nn.Embedding(4, 3)
    dense.weight.data.copy_(table.weight)
    optimizers = [
        OPTIMIZERS[plain](table.parameters(), lr=0.1, weight_decay=0.1),
        plain(dense.parameters(), lr=0.1, weight_decay=0.1),
    ]
    target = torch.randn(4, 3)
    for _ in range(5):
        for embedding, optimizer in zip((table, dense), optimizers):
            optimizer.zero_grad()
            (embedding(torch.tensor([3, 1, 0, 2, 1]))[:4] - target).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(table.weight, dense.weight)


@pytest.mark.parametrize("kind", [RowAdam, RowAdamW])
def test_rows_that_are_not_read_stay(kind):
    table = RowEmbedding(5, 2)
    before = table.weight.detach().clone()
    optimizer = kind(table.parameters(), lr=0.1, weight_decay=0.1)
    table(torch.tensor([1, 3, 3])).sum().backward()
    optimizer.step()
    changed = (table.weight != before).any(1)
    assert changed.tolist() == [False, True, False, True, False]


def test_a_model_trains_and_scores_alike_whichever_way():
    losses, scores = {}, {}
    for way in ("all", "rows"):
        recommender = model(id_updates=way).train()
        optimizer = RowAdamW(recommender.parameters(), lr=0.01, weight_decay=0.01)
        batch = windows([1, 2, 3, 4, 5], [6, 7, 8])  # all items are read in each step
        torch.manual_seed(1)
        for _ in range(4):
            optimizer.zero_grad()
            loss = sum(recommender.calculate_loss(batch))
            loss.backward()
            optimizer.step()
        losses[way] = loss.detach()
        with torch.no_grad():
            scores[way] = recommender.eval().full_sort_predict(prefixes([1, 2, 3]))
    torch.testing.assert_close(losses["rows"], losses["all"])
    torch.testing.assert_close(scores["rows"], scores["all"], rtol=1e-4, atol=1e-5)
