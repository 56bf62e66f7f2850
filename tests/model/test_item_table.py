"""The table is computed once, and anew after every kind of change of what it is made from."""

import pytest
import torch
from torch import nn

from recbole_mmdistill.model.item_table import ItemTable


@pytest.fixture
def module():
    return nn.Embedding(5, 3)


@pytest.fixture
def table(module):
    counted = ItemTable([module], lambda: (counted_calls.append(1), module.weight * 2)[1])
    counted_calls = counted.calls = []
    return counted


@torch.no_grad()
def test_it_is_computed_once(table):
    assert table.get() is table.get()
    assert len(table.calls) == 1


CHANGES = {
    "in place": lambda m: m.weight.add_(1),
    "one value through .data": lambda m: m.weight.data[2, 1].add_(1e-6),
    "rows exchanged through .data": lambda m: m.weight.data.copy_(m.weight.data[[1, 0, 2, 3, 4]]),
    "columns exchanged through .data": lambda m: m.weight.data.copy_(m.weight.data[:, [1, 0, 2]]),
    "a new tensor": lambda m: setattr(m.weight, "data", torch.zeros(5, 3)),
    "a new parameter": lambda m: setattr(m, "weight", nn.Parameter(torch.zeros(5, 3))),
    "a checkpoint": lambda m: m.load_state_dict({"weight": torch.ones(5, 3)}),
    "an optimizer's step": lambda m: step(m),
    "another dtype": lambda m: m.half(),
}


@torch.enable_grad()
def step(module):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.tensor([0])).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_it_is_never_stale(table, module, change):
    table.get()
    CHANGES[change](module)
    assert torch.equal(table.get(), module.weight * 2)
    assert len(table.calls) == 2


def test_with_gradients_it_is_part_of_the_graph(table):
    table.get().sum().backward()
    assert table.get() is not table.get()
