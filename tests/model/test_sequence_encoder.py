"""What every sequence encoder must do. A new one is proven by its line in SEQUENCE_ENCODERS."""

import pytest
import torch

from recbole_mmdistill.model.sequence_encoder import SEQUENCE_ENCODERS
from tests.model.builders import config


@pytest.fixture(params=sorted(SEQUENCE_ENCODERS))
def encoder(request):
    torch.manual_seed(0)
    return SEQUENCE_ENCODERS[request.param](config()).eval()


def test_one_state_for_every_position(encoder):
    assert encoder(torch.randn(2, 6, 8)).shape == (2, 6, 8)


def test_chosen_states_are_those_of_all(encoder):
    history, at = torch.randn(2, 6, 8), (torch.tensor([0, 1, 1]), torch.tensor([5, 0, 3]))
    torch.testing.assert_close(encoder(history, at), encoder(history)[at])


def test_it_is_causal(encoder):
    history = torch.randn(1, 6, 8)
    changed = history.clone()
    changed[:, 4:] = 9.0
    torch.testing.assert_close(encoder(history)[:, :4], encoder(changed)[:, :4])


def test_it_reads_the_past(encoder):
    history = torch.randn(1, 6, 8)
    changed = history.clone()
    changed[:, 2] = 9.0
    assert not torch.allclose(encoder(history)[:, 3], encoder(changed)[:, 3])


def test_padding_on_the_right_changes_nothing(encoder):
    history = torch.randn(1, 3, 8)
    padded = torch.cat([history, torch.randn(1, 3, 8)], dim=1)
    torch.testing.assert_close(encoder(padded)[:, :3], encoder(history), atol=1e-5, rtol=1e-5)


def test_histories_do_not_see_one_another(encoder):
    batch = torch.randn(3, 5, 8)
    torch.testing.assert_close(encoder(batch)[1:2], encoder(batch[1:2]), atol=1e-5, rtol=1e-5)


def test_every_parameter_learns(encoder):
    encoder(torch.randn(2, 6, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_dropout_only_in_training():
    encoder = SEQUENCE_ENCODERS["sasrec"](config(hidden_dropout_prob=0.5, attn_dropout_prob=0.5))
    history = torch.randn(2, 6, 8)
    assert not torch.equal(encoder(history), encoder(history))
    encoder.eval()
    assert torch.equal(encoder(history), encoder(history))
