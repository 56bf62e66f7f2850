"""The written-out gradients against torch's autograd on the same equations, taken literally."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from recbole_mmdistill.model import losses
from recbole_mmdistill.model.losses import (
    Candidates,
    Distillation,
    branch_loss,
    log_inclusion,
    parse_pairs,
    ramp,
)
from recbole_mmdistill.model.repeats import Own

N_BRANCHES, N_ROWS, N_CANDIDATES, HIDDEN = 3, 7, 11, 4
PAIRS = ((0, 1), (0, 2), (None, 0))


def literal_loss(user, item, known, kd, ce_weight=1.0):
    """The equations of the docstring, one row of PyTorch each, on float64."""
    n_branches = len(user)
    logits = torch.einsum("bnd,bcd->bnc", user, item)
    log_q = torch.zeros(logits.shape[1:]) if known.log_q is None else known.log_q
    log_q = log_q.expand(logits.shape[1:]).double()
    own = torch.zeros_like(log_q, dtype=torch.bool)
    if known.own is not None:
        own.scatter_(1, known.own.at, True)
        log_q = log_q.masked_fill(own, 0)
        logits = logits + torch.zeros_like(log_q).scatter(1, known.own.at, known.own.bias)
    logits = logits - log_q
    hidden = torch.zeros_like(logits, dtype=torch.bool)
    if known.exclude is not None:
        for row, group in enumerate(known.group.tolist()):
            for candidate in known.exclude[group].tolist():
                kept = candidate == known.target[row].item() or own[row, candidate].item()
                hidden[:, row, candidate] |= not kept
    present = known.present
    if present is None:
        present = torch.ones(n_branches, item.size(1), dtype=torch.bool)
    weight = known.weight
    if weight is None:
        weight = torch.full((n_branches, 1), 1 / n_branches, dtype=user.dtype)

    def log_softmax(values, mask):
        return torch.log_softmax(values.masked_fill(mask, -1e6), dim=-1)  # exp(-1e6) is 0

    ce = 0.0
    for b in range(n_branches):
        rows = present[b][known.target]
        if rows.any():
            log_p = log_softmax(logits[b], hidden[b] | ~present[b])
            ce = ce + F.nll_loss(log_p[rows], known.target[rows])
    divergence = torch.zeros((), dtype=user.dtype)
    for teacher, student in kd.pairs if kd else ():
        taught = logits[student]
        teaching = (weight[:, None] * logits).sum(0) if teacher is None else logits[teacher]
        if kd.detach_teacher:
            teaching = teaching.detach()
        mask = hidden[student] | ~present[student]
        if teacher is not None:
            mask = mask | ~present[teacher]
        correction = log_q * (1 - 1 / kd.temperature)
        log_t = log_softmax(teaching / kd.temperature - correction, mask)
        log_s = log_softmax(taught / kd.temperature - correction, mask)
        terms = log_t.exp() * (log_t - log_s).masked_fill(mask, 0)
        divergence = divergence + kd.temperature**2 * terms.sum(-1).mean()
    return ce_weight * ce + (kd.weight if kd else 0.0) * divergence, ce, divergence


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    user = torch.randn(N_BRANCHES, N_ROWS, HIDDEN, generator=generator)
    item = torch.randn(N_BRANCHES, N_CANDIDATES, HIDDEN, generator=generator)
    target = torch.randint(N_CANDIDATES, (N_ROWS,), generator=generator)
    return user.requires_grad_(), item.requires_grad_(), target


def candidates(kind, target):
    present = torch.ones(N_BRANCHES, N_CANDIDATES, dtype=torch.bool)
    present[1, :3] = False
    present[2, 2:6] = False
    weight = present / present.sum(0)
    log_q = torch.linspace(-3, -0.1, N_CANDIDATES)
    exclude = torch.tensor([[0, 1, 2], [5, 5, 9]])
    group = torch.arange(N_ROWS) % 2
    own = Own(
        torch.stack([torch.arange(N_ROWS) % 4, torch.arange(N_ROWS) + 4], dim=1),
        torch.linspace(-2, 1, 2 * N_ROWS).view(N_ROWS, 2).requires_grad_(),
    )
    return {
        "full": Candidates(target),
        "log_q": Candidates(target, log_q=log_q),
        "missing": Candidates(target, present=present, weight=weight),
        "excluded": Candidates(target, log_q=log_q, exclude=exclude, group=group),
        "own": Candidates(target, present=present, weight=weight, own=own),
        "own, excluded": Candidates(target, log_q=log_q, exclude=exclude, group=group, own=own),
    }[kind]


@pytest.mark.parametrize("block", [1, 2, 10**6])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("kind", ["full", "log_q", "missing", "excluded", "own", "own, excluded"])
def test_value_and_gradients_equal_autograd_on_the_equations(monkeypatch, kind, detach, block):
    monkeypatch.setattr(losses, "_CPU_BLOCK", block * N_CANDIDATES)
    user, item, target = tensors()
    known = candidates(kind, target)
    kd = Distillation(PAIRS, weight=0.7, temperature=2.5, detach_teacher=detach)
    mine = branch_loss(user, item, known, kd)
    learned = [user, item] if known.own is None else [user, item, known.own.bias]
    got = torch.autograd.grad(mine.total, learned)
    exact = [x.detach().double().requires_grad_() for x in learned]
    if known.own is not None:
        known = replace(known, own=known.own._replace(bias=exact[2]))
    total, ce, divergence = literal_loss(*exact[:2], known, kd)
    expected = torch.autograd.grad(total, exact)
    assert mine.total.item() == pytest.approx(total.item(), rel=1e-5)
    assert mine.ce.sum().item() == pytest.approx(ce.item(), rel=1e-5)
    assert mine.kd.sum().item() == pytest.approx(divergence.item(), rel=1e-4)
    for ours, theirs in zip(got, expected):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["full", "excluded", "own", "own, excluded"])
def test_the_loss_of_a_batch_is_the_mean_of_its_rows_losses(kind):
    user, item, target = tensors()
    known = replace(candidates(kind, target), present=None)  # so that no branch lacks a target
    single = []
    for row in torch.tensor([[5], [2], [0], [6], [1], [3], [4]]):
        of_row = known.of_rows(row)
        assert of_row.own is None or not of_row.own.bias.requires_grad
        single.append(branch_loss(user[:, row], item, of_row).total)
    torch.testing.assert_close(torch.stack(single).mean(), branch_loss(user, item, known).total)


def test_a_detached_teacher_gets_no_gradient_from_distillation():
    user, item, target = tensors()
    kd = Distillation(((0, 1),), weight=1.0, temperature=2.0, detach_teacher=True)
    loss = branch_loss(user, item, Candidates(target), kd, ce_weight=0.0)
    grad_user, grad_item = torch.autograd.grad(loss.total, [user, item])
    for grad in (grad_user, grad_item):
        assert grad[0].abs().max() == 0
        assert grad[1].abs().max() > 0
        assert grad[2].abs().max() == 0


def test_a_teacher_that_is_not_detached_gets_a_gradient():
    user, item, target = tensors()
    kd = Distillation(((0, 1),), weight=1.0, temperature=2.0, detach_teacher=False)
    loss = branch_loss(user, item, Candidates(target), kd, ce_weight=0.0)
    (grad_user,) = torch.autograd.grad(loss.total, [user])
    assert grad_user[0].abs().max() > 0


def test_equal_branches_have_nothing_to_teach():
    user, item, target = tensors()
    user, item = user[:1].expand(3, -1, -1), item[:1].expand(3, -1, -1)
    kd = Distillation(PAIRS, weight=1.0, temperature=3.0, detach_teacher=False)
    assert branch_loss(user, item, Candidates(target), kd).kd.sum().item() == pytest.approx(
        0, abs=1e-6
    )


def test_a_branch_without_any_valid_target_adds_nothing():
    user, item, target = tensors()
    present = torch.ones(N_BRANCHES, N_CANDIDATES, dtype=torch.bool)
    present[1] = False
    loss = branch_loss(user, item, Candidates(target, present=present))
    (grad_user,) = torch.autograd.grad(loss.total, [user])
    assert torch.isfinite(loss.total)
    assert grad_user[1].abs().max() == 0


def test_the_gradient_is_scaled_by_what_comes_after():
    user, item, target = tensors()
    (once,) = torch.autograd.grad(branch_loss(user, item, Candidates(target)).total, [user])
    (thrice,) = torch.autograd.grad(3 * branch_loss(user, item, Candidates(target)).total, [user])
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, math.exp(-5)), (5, math.exp(-1.25)), (10, 1.0), (99, 1.0)]
)
def test_ramp_values(epoch, value):
    assert ramp(epoch, 10) == pytest.approx(value)


def test_no_ramp_is_constant():
    assert [ramp(epoch, 0) for epoch in (0, 1, 50)] == [1.0, 1.0, 1.0]


def test_log_inclusion_is_the_frequency_of_being_drawn():
    generator = torch.Generator().manual_seed(1)
    popularity = torch.tensor([0.5, 0.3, 0.15, 0.05])
    seen, trials = torch.zeros(4), 20_000
    for _ in range(trials):
        drawn = torch.multinomial(popularity, 3, replacement=True, generator=generator)
        uniform = torch.randint(4, (2,), generator=generator)
        seen[torch.cat([drawn, uniform]).unique()] += 1
    expected = log_inclusion(popularity, n_draws=3, n_uniform=2, n_items=4).exp()
    torch.testing.assert_close(seen / trials, expected, atol=0.015, rtol=0)


def test_inclusion_is_near_certain_for_an_item_that_is_every_target():
    always = log_inclusion(torch.tensor([1.0]), n_draws=5, n_uniform=0, n_items=9)
    assert always.exp().item() == pytest.approx(1.0)


def test_pairs_by_name():
    assert parse_pairs([["id", "text"], ["mean", "id"]], ["id", "text"]) == ((0, 1), (None, 0))
    assert parse_pairs([["id", "image"]], ["id", "text"]) == ()


@pytest.mark.parametrize("mean_ce_weight", [0.0, 0.7])
def test_the_final_score_teaches_the_branches_weights_and_if_asked_the_branches(mean_ce_weight):
    user, item, target = tensors()
    present = torch.rand(N_BRANCHES, N_CANDIDATES, generator=torch.Generator().manual_seed(1)) > 0.3
    present[0] = True
    wanted = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    weight = wanted[:, None] * present / (wanted[:, None] * present).sum(0)
    known = Candidates(target, present=present, weight=weight)
    mine = branch_loss(user, item, known, ce_weight=0.0, mean_ce_weight=mean_ce_weight)
    gradients = torch.autograd.grad(mine.total, (user, item, wanted), retain_graph=True)

    logits = torch.einsum("bnd,bcd->bnc", user, item)
    expected = F.cross_entropy((weight[:, None] * logits).sum(0), target)
    of_user, of_item, of_wanted = torch.autograd.grad(expected, (user, item, wanted))
    torch.testing.assert_close(gradients[0], mean_ce_weight * of_user)
    torch.testing.assert_close(gradients[1], mean_ce_weight * of_item)
    torch.testing.assert_close(gradients[2], of_wanted)
