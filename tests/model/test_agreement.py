"""How far branches agree."""

import math

import pytest
import torch

from recbole_mmdistill.model.agreement import compare_branches

NEVER = -torch.inf
ID = torch.tensor([[NEVER, 3.0, 2.0, 1.0]])
TEXT = torch.tensor([[NEVER, 1.0, 2.0, 3.0]])


def test_branches_are_measured_alone_and_against_each_other():
    found = compare_branches({"id": ID, "text": TEXT}, torch.tensor([1]))
    assert found["ndcg@10/id"].item() == 1
    assert found["ndcg@10/text"].item() == pytest.approx(1 / 2)
    total = math.exp(3) + math.exp(2) + math.exp(1)
    divergence = (math.exp(3) * 2 - math.exp(1) * 2) / total
    assert found["kl/id-text"].item() == pytest.approx(divergence, rel=1e-5)
    assert found["kl/text-id"].item() == pytest.approx(divergence, rel=1e-5)


def test_equal_branches_agree():
    found = compare_branches({"id": ID, "text": ID}, torch.tensor([2]))
    assert found["kl/id-text"].item() == pytest.approx(0, abs=1e-6)
    assert found["overlap@10/id-text"].item() == 1


def test_items_that_one_branch_lacks_are_not_compared():
    lacking = ID.clone()
    lacking[0, 1] = NEVER
    found = compare_branches({"id": ID, "text": lacking}, torch.tensor([2]))
    assert found["kl/id-text"].item() == pytest.approx(0, abs=1e-6)
    assert math.isfinite(found["kl/text-id"].item())
