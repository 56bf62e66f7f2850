"""What item and sequence encoders share."""

import pytest
import torch
from torch import nn

from recbole_mmdistill.model.layers import Dropout, FeedForward


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_zeroes_that_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(301, 7, 499)
    dropped = Dropout(p)(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=2e-3)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert dropped.mean().item() == pytest.approx(1, abs=4e-3)


def test_dropout_is_independent_from_element_to_element():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(400_000)) > 0).float() - 0.5
    for shift in (1, 2, 3, 4, 8):
        assert (kept[shift:] * kept[:-shift]).mean().abs() < 2e-3


def test_dropout_is_off_in_evaluation_and_its_gradient_is_its_mask():
    torch.manual_seed(0)
    x = torch.ones(50, requires_grad=True)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped)


@pytest.mark.parametrize("shape", [(513, 6), (350, 3, 6)])
def test_a_network_in_chunks_equals_the_whole_in_value_and_gradients(shape):
    torch.manual_seed(0)
    network = FeedForward(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 6)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(shape, dtype=torch.float64)
    inputs = [x, *network.parameters()]
    chunked, whole = network(x), nn.Sequential.forward(network, x)
    assert "Chunked" in chunked.grad_fn.next_functions[0][0].name()
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(
        torch.autograd.grad(chunked, inputs, grad), torch.autograd.grad(whole, inputs, grad)
    )
