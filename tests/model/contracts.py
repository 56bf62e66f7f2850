"""What every component must do, as classes of tests that those of a component inherit.

A new component's tests are a subclass with the fixture that makes it.
"""

from dataclasses import replace

import pytest
import torch

from recbole_mmdistill.model import StepScores
from recbole_mmdistill.model.candidates import Catalogue
from recbole_mmdistill.model.item_encoder import SourceTokens
from recbole_mmdistill.model.layers import OneEach

SOURCES = ["id", "text", "image"]


class SequenceEncoderContract:
    """Needs the fixture ``encoder``: hidden_size 8, histories up to 6 items, in evaluation mode."""

    def test_one_state_for_every_position(self, encoder):
        assert encoder(torch.randn(2, 6, 8)).shape == (2, 6, 8)

    def test_chosen_states_are_those_of_all(self, encoder):
        history, positions = (
            torch.randn(2, 6, 8),
            (torch.tensor([0, 1, 1]), torch.tensor([5, 0, 3])),
        )
        torch.testing.assert_close(encoder(history, positions), encoder(history)[positions])

    def test_one_state_of_each_history_is_that_of_all(self, encoder):
        history = torch.randn(3, 6, 8)
        positions = OneEach(torch.arange(3), torch.tensor([5, 0, 3]))
        found = encoder(history, positions)
        torch.testing.assert_close(found, encoder(history)[positions], rtol=0, atol=1e-6)

    def test_it_is_causal(self, encoder):
        history = torch.randn(1, 6, 8)
        changed = history.clone()
        changed[:, 4:] = 9.0
        torch.testing.assert_close(encoder(history)[:, :4], encoder(changed)[:, :4])

    def test_it_reads_the_past(self, encoder):
        history = torch.randn(1, 6, 8)
        changed = history.clone()
        changed[:, 2] = 9.0
        assert not torch.allclose(encoder(history)[:, 3], encoder(changed)[:, 3])

    def test_padding_on_the_right_changes_nothing(self, encoder):
        history = torch.randn(1, 3, 8)
        padded = torch.cat([history, torch.randn(1, 3, 8)], dim=1)
        torch.testing.assert_close(encoder(padded)[:, :3], encoder(history), atol=1e-5, rtol=1e-5)

    def test_histories_do_not_see_one_another(self, encoder):
        batch = torch.randn(3, 5, 8)
        torch.testing.assert_close(encoder(batch)[1:2], encoder(batch[1:2]), atol=1e-5, rtol=1e-5)

    def test_every_parameter_learns(self, encoder):
        encoder(torch.randn(2, 6, 8)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def source_tokens(n_items=4, n_tokens=3, seed=0):
    """Tokens of every source for a few items, width 8."""
    generator = torch.Generator().manual_seed(seed)
    made = {
        name: SourceTokens(
            torch.randn(n_items, n_tokens, 8, generator=generator),
            torch.ones(n_items, n_tokens, dtype=torch.bool),
        )
        for name in ("text", "image")
    }
    made["id"] = SourceTokens(
        torch.randn(n_items, 1, 8, generator=generator), torch.ones(n_items, 1, dtype=torch.bool)
    )
    return made


class ItemEncoderContract:
    """Needs the fixture ``encoder``: sources id, text and image, hidden_size 8, large weights."""

    def test_one_vector_for_each_branch(self, encoder):
        assert encoder(source_tokens()).shape == (len(encoder.branches), 4, 8)

    def test_items_do_not_see_one_another(self, encoder):
        some = {
            name: SourceTokens(s.tokens[1:2], s.mask[1:2]) for name, s in source_tokens().items()
        }
        torch.testing.assert_close(encoder(source_tokens())[:, 1:2], encoder(some))

    @pytest.mark.parametrize("source", ["text", "image"])
    def test_a_masked_token_is_never_read(self, encoder, source):
        original = source_tokens()
        tokens, mask = (x.clone() for x in original[source])
        mask[:, -1] = False
        tokens[:, -1] = 99.0
        masked = original | {source: original[source]._replace(mask=mask)}
        changed = original | {source: SourceTokens(tokens, mask)}
        torch.testing.assert_close(encoder(masked), encoder(changed))

    @pytest.mark.parametrize("source", ["text", "image"])
    def test_an_item_without_a_source_keeps_its_other_vectors_finite_and_apart(
        self, encoder, source
    ):
        missing = source_tokens()
        missing[source] = missing[source]._replace(mask=torch.zeros(4, 3, dtype=torch.bool))
        output = encoder(missing)
        assert torch.isfinite(output).all()
        assert not torch.allclose(output[:, 0], output[:, 1])

    def test_an_item_without_any_modality_is_finite(self, encoder):
        missing = source_tokens()
        for source in ("text", "image"):
            missing[source] = missing[source]._replace(mask=torch.zeros(4, 3, dtype=torch.bool))
        tokens = [source.tokens.requires_grad_() for source in missing.values()]
        output = encoder(missing)
        assert torch.isfinite(output).all()
        gradients = torch.autograd.grad(output.square().sum(), tokens)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


def step_scores():
    """Scores of five rows over seven candidates in three branches, some without a source."""
    generator = torch.Generator().manual_seed(0)
    user = torch.randn(3, 5, 4, generator=generator)
    item = torch.randn(3, 7, 4, generator=generator)
    present = torch.ones(3, 7, dtype=torch.bool)
    present[2, 4:] = False
    return StepScores(
        user.requires_grad_(),
        item.requires_grad_(),
        torch.tensor([0, 3, 6, 2, 3]),
        present=present,
        weight=(present / present.sum(0)).requires_grad_(),
        log_q=torch.linspace(-3, -0.1, 7),
    )


class LossContract:
    """Needs the fixture ``loss``."""

    def test_it_is_one_number_or_a_few_and_finite(self, loss):
        value = loss(step_scores())
        assert value.dim() <= 1
        assert torch.isfinite(value).all()

    def test_its_parts_have_names(self, loss):
        assert len(loss.part_names("mine")) in (0, loss(step_scores()).numel())

    def test_the_order_of_the_rows_does_not_matter(self, loss):
        scores = step_scores()
        other = scores.of_rows(torch.tensor([4, 1, 0, 3, 2]))
        torch.testing.assert_close(loss(scores), loss(other))

    def test_its_gradient_is_finite(self, loss):
        scores = step_scores()
        learned = [scores.user, scores.item, scores.weight]
        value = loss(scores).sum() + 0 * sum(x.sum() for x in learned)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, learned))

    def test_it_takes_no_side_effect_on_the_scores(self, loss):
        scores = step_scores()
        torch.testing.assert_close(scores.logits, replace(scores).logits)
        before = scores.logits.detach().clone()
        loss(scores)
        assert torch.equal(scores.logits, before)


class CandidateSamplerContract:
    """Needs the fixture ``sampler``."""

    trained = torch.tensor([1, 2, 3, 5, 6, 8])
    count = torch.tensor([0, 3, 1, 1, 0, 9, 2, 0, 1])

    def test_candidates_are_distinct_and_ascending_with_all_targets_and_no_new_item(self, sampler):
        target = torch.tensor([5, 2, 5, 8])
        chosen = sampler.choose(target, self.trained)
        assert (chosen[1:] > chosen[:-1]).all()
        assert set(target.tolist()) <= set(chosen.tolist()) <= set(self.trained.tolist())

    def test_log_q_is_a_log_probability_of_a_sample_alone(self, sampler):
        chosen = torch.tensor([2, 5, 8])
        catalogue = Catalogue(self.trained, self.count, torch.ones(3, 9, dtype=torch.bool))
        log_q = sampler.log_q(chosen, 4, catalogue)
        assert (log_q is not None) == sampler.is_sample
        if log_q is not None:
            assert log_q.shape == (3,)
            assert (log_q <= 0).all()
            assert log_q[1] > log_q[0]  # the more popular item
