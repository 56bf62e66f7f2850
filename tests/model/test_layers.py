"""What item and sequence encoders share."""

import pytest
import torch
from torch import nn

from recbole_mmdistill.model.layers import Dropout, FeedForward, SourceDropout


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


def test_source_dropout_takes_whole_sources_away_and_scales_nothing():
    torch.manual_seed(0)
    dropped = SourceDropout(0.2)(torch.ones(3, 20_000, 4))
    assert torch.equal(dropped.amin(-1), dropped.amax(-1))
    assert dropped.unique().tolist() == [0, 1]
    lost = (dropped[..., 0] == 0).float()
    torch.testing.assert_close(lost.mean(1), torch.full((3,), 0.2), atol=0.01, rtol=0)
    assert (lost[0] * lost[1]).mean().item() == pytest.approx(0.04, abs=0.01)


def test_source_dropout_leaves_evaluation_and_an_only_source_alone():
    vectors = torch.ones(3, 100, 4)
    assert torch.equal(SourceDropout(0.9).eval()(vectors), vectors)
    assert torch.equal(SourceDropout(0.9)(vectors[:1]), vectors[:1])
