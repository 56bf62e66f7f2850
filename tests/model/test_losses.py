"""The losses, fused and plain, against the equations taken literally."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.model import LOSSES, Loss, StepScores, fused
from recbole_mmdistill.model.losses import (
    CombinationLoss,
    CrossEntropy,
    Distillation,
    MeanCrossEntropy,
    parse_pairs,
    ramp,
)
from recbole_mmdistill.model.objective import LossStatistics, Objective
from recbole_mmdistill.model.repeats import RepeatCandidates
from tests.model.builders import model, windows

BRANCHES = ["id", "text", "image"]
N_BRANCHES, N_ROWS, N_CANDIDATES, HIDDEN = 3, 7, 11, 4
PAIRS = [["id", "text"], ["id", "image"], ["mean", "id"]]


def literal_loss(scores, kd, ce_weight=1.0):
    """The equations of the docstrings, one row of PyTorch each, on float64."""
    n_branches = len(scores.user)
    logits = torch.einsum("bnd,bcd->bnc", scores.user, scores.item)
    log_q = torch.zeros(logits.shape[1:]) if scores.log_q is None else scores.log_q
    log_q = log_q.expand(logits.shape[1:]).double()
    own = torch.zeros_like(log_q, dtype=torch.bool)
    if scores.repeats is not None:
        position, bias = scores.repeats
        own.scatter_(1, position, True)
        log_q = log_q.masked_fill(own, 0)
        logits = logits + torch.zeros_like(log_q).scatter(1, position, bias)
    logits = logits - log_q
    hidden = torch.zeros_like(logits, dtype=torch.bool)
    if scores.exclude is not None:
        for row, group in enumerate(scores.group.tolist()):
            for candidate in scores.exclude[group].tolist():
                kept = candidate == scores.target[row].item() or own[row, candidate].item()
                hidden[:, row, candidate] |= not kept
    present = scores.present
    if present is None:
        present = torch.ones(n_branches, scores.item.size(1), dtype=torch.bool)
    weight = scores.weight
    if weight is None:
        weight = torch.full((n_branches, 1), 1 / n_branches, dtype=scores.user.dtype)

    def log_softmax(values, mask):
        return torch.log_softmax(values.masked_fill(mask, -1e6), dim=-1)  # exp(-1e6) is 0

    ce = 0.0
    for b in range(n_branches):
        rows = present[b][scores.target]
        if rows.any():
            log_p = log_softmax(logits[b], hidden[b] | ~present[b])
            ce = ce + F.nll_loss(log_p[rows], scores.target[rows])
    divergence = torch.zeros((), dtype=scores.user.dtype)
    for teacher, student in kd.pairs:
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
    return ce_weight * ce + kd.weight * divergence


def step_scores(kind="full", seed=0):
    generator = torch.Generator().manual_seed(seed)
    user = torch.randn(N_BRANCHES, N_ROWS, HIDDEN, generator=generator).requires_grad_()
    item = torch.randn(N_BRANCHES, N_CANDIDATES, HIDDEN, generator=generator).requires_grad_()
    target = torch.randint(N_CANDIDATES, (N_ROWS,), generator=generator)
    present = torch.ones(N_BRANCHES, N_CANDIDATES, dtype=torch.bool)
    present[1, :3] = False
    present[2, 2:6] = False
    missing = {"present": present, "weight": present / present.sum(0)}
    log_q = {"log_q": torch.linspace(-3, -0.1, N_CANDIDATES)}
    excluded = {"exclude": torch.tensor([[0, 1, 2], [5, 5, 9]]), "group": torch.arange(N_ROWS) % 2}
    repeats = RepeatCandidates(
        torch.stack([torch.arange(N_ROWS) % 4, torch.arange(N_ROWS) + 4], dim=1),
        torch.linspace(-2, 1, 2 * N_ROWS).view(N_ROWS, 2).requires_grad_(),
    )
    known = {
        "full": {},
        "log_q": log_q,
        "missing": missing,
        "excluded": log_q | excluded,
        "repeats": missing | {"repeats": repeats},
        "repeats, excluded": log_q | excluded | {"repeats": repeats},
    }[kind]
    return StepScores(user, item, target, **known)


def distillation(pairs=PAIRS, **options):
    return Distillation(branches=BRANCHES, pairs=pairs, **options)


def losses(kd=None, ce_weight=1.0):
    found = {"ce": CrossEntropy(branches=BRANCHES, weight=ce_weight)}
    return found if kd is None else found | {"kd": kd}


def total(objective, scores):
    return sum(objective(scores).terms)


fused_or_plain = pytest.mark.parametrize("use_fused", [True, False])


@pytest.mark.parametrize("use_fused", [1, 2, 10**6, False])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(
    "kind", ["full", "log_q", "missing", "excluded", "repeats", "repeats, excluded"]
)
def test_value_and_gradients_are_those_of_the_equations(monkeypatch, kind, detach, use_fused):
    monkeypatch.setattr(fused, "_CPU_BLOCK", use_fused * N_CANDIDATES)
    scores = step_scores(kind)
    kd = distillation(weight=0.7, temperature=2.5, detach_teacher=detach)
    objective = Objective(losses(kd), use_fused=bool(use_fused))
    assert objective.is_fused == bool(use_fused)
    mine = total(objective, scores)
    learned = [scores.user, scores.item]
    if scores.repeats is not None:
        learned.append(scores.repeats.bias)
    got = torch.autograd.grad(mine, learned)
    exact = [x.detach().double().requires_grad_() for x in learned]
    exact_scores = replace(scores, user=exact[0], item=exact[1])
    if scores.repeats is not None:
        exact_scores = replace(exact_scores, repeats=scores.repeats._replace(bias=exact[2]))
    expected = literal_loss(exact_scores, kd)
    assert mine.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(got, torch.autograd.grad(expected, exact)):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-6)


@fused_or_plain
@pytest.mark.parametrize("kind", ["full", "excluded", "repeats", "repeats, excluded"])
def test_the_loss_of_a_batch_is_the_mean_of_its_rows_losses(kind, use_fused):
    scores = replace(step_scores(kind), present=None)  # so that no branch lacks a target
    objective = Objective(losses(), use_fused)
    single = []
    for row in torch.tensor([[5], [2], [0], [6], [1], [3], [4]]):
        of_row = scores.of_rows(row)
        assert of_row.repeats is None or not of_row.repeats.bias.requires_grad
        single.append(total(objective, of_row))
    torch.testing.assert_close(torch.stack(single).mean(), total(objective, scores))


@fused_or_plain
@pytest.mark.parametrize("detach", [True, False])
def test_a_detached_teacher_gets_no_gradient_from_distillation(detach, use_fused):
    scores = step_scores()
    kd = distillation([["id", "text"]], temperature=2.0, detach_teacher=detach)
    loss = total(Objective(losses(kd, ce_weight=0.0), use_fused), scores)
    for grad in torch.autograd.grad(loss, [scores.user, scores.item]):
        assert (grad[0].abs().max() == 0) == detach
        assert grad[1].abs().max() > 0
        assert grad[2].abs().max() == 0


@fused_or_plain
def test_equal_branches_have_nothing_to_teach(use_fused):
    scores = step_scores()
    user, item = (x[:1].expand(3, -1, -1) for x in (scores.user, scores.item))
    kd = distillation(temperature=3.0, detach_teacher=False)
    value = Objective(losses(kd), use_fused)(replace(scores, user=user, item=item))
    assert value.parts["kd"].sum().item() == pytest.approx(0, abs=1e-6)


@fused_or_plain
def test_a_branch_without_any_valid_target_adds_nothing(use_fused):
    present = torch.ones(N_BRANCHES, N_CANDIDATES, dtype=torch.bool)
    present[1] = False
    scores = replace(step_scores(), present=present)
    loss = total(Objective(losses(), use_fused), scores)
    (grad_user,) = torch.autograd.grad(loss, [scores.user])
    assert torch.isfinite(loss)
    assert grad_user[1].abs().max() == 0


@fused_or_plain
def test_the_gradient_is_scaled_by_what_comes_after(use_fused):
    scores, objective = step_scores(), Objective(losses(), use_fused)
    (once,) = torch.autograd.grad(total(objective, replace(scores)), [scores.user])
    (thrice,) = torch.autograd.grad(3 * total(objective, replace(scores)), [scores.user])
    torch.testing.assert_close(thrice, 3 * once)


@fused_or_plain
@pytest.mark.parametrize("mean_ce_weight", [0.0, 0.7])
def test_the_final_score_teaches_its_weights_and_if_asked_the_branches(mean_ce_weight, use_fused):
    present = torch.rand(N_BRANCHES, N_CANDIDATES, generator=torch.Generator().manual_seed(1)) > 0.3
    present[0] = True
    wanted = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    weight = wanted[:, None] * present / (wanted[:, None] * present).sum(0)
    scores = replace(step_scores(), present=present, weight=weight)
    objective = Objective(
        {
            "mean_ce": MeanCrossEntropy(weight=mean_ce_weight),
            "combination": CombinationLoss(is_counted=not mean_ce_weight),
        },
        use_fused,
    )
    mine = total(objective, scores)
    learned = (scores.user, scores.item, wanted)
    got = torch.autograd.grad(mine, learned, retain_graph=True, allow_unused=True)

    logits = torch.einsum("bnd,bcd->bnc", scores.user, scores.item)
    expected = F.cross_entropy((weight[:, None] * logits).sum(0), scores.target)
    of_user, of_item, of_wanted = torch.autograd.grad(expected, learned)
    assert mine.item() == pytest.approx((mean_ce_weight or 1.0) * expected.item())
    torch.testing.assert_close(got[2], of_wanted)
    for mine_of, theirs in zip(got, (of_user, of_item)):
        mine_of = torch.zeros_like(theirs) if mine_of is None else mine_of
        torch.testing.assert_close(mine_of, mean_ce_weight * theirs)


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, math.exp(-5)), (5, math.exp(-1.25)), (10, 1.0), (99, 1.0)]
)
def test_ramp_values(epoch, value):
    assert ramp(epoch, 10) == pytest.approx(value)
    assert distillation(weight=0.5, ramp_epochs=10).weight_at(epoch) == pytest.approx(0.5 * value)


def test_no_ramp_is_constant():
    assert [ramp(epoch, 0) for epoch in (0, 1, 50)] == [1.0, 1.0, 1.0]


def test_pairs_by_name():
    assert parse_pairs([["id", "text"], ["mean", "id"]], ["id", "text"]) == ((0, 1), (None, 0))
    assert parse_pairs([["id", "image"]], ["id", "text"]) == ()


@pytest.fixture
def margin_loss():
    """A loss as a user would add it, in a file of their own."""

    @LOSSES.register("margin")
    class MarginLoss(Loss):
        def __init__(self, *, weight: float = 1.0, size: float = 0.5) -> None:
            super().__init__(weight=weight)
            self.size = size

        def forward(self, scores):
            of_target = scores.mean_logits.gather(1, scores.target[:, None])
            return (scores.mean_logits - of_target + self.size).relu().mean()

    yield MarginLoss
    del LOSSES["margin"]


def test_a_user_s_loss_is_one_class_and_its_name_in_the_options(margin_loss):
    options = {"losses": ["ce", "mean_ce", "kd", "combination", "margin"]}
    mine = model(**options, margin_weight=0.1, margin_size=2.0).train()
    theirs = model(fused_loss=False).train()
    assert mine.objective.losses["margin"].size == 2.0
    statistics = LossStatistics(mine.objective)
    batch = windows([1, 2, 3, 4, 5], [6, 7, 8])
    *known, margin = mine.calculate_loss(batch)
    torch.testing.assert_close(known, list(theirs.calculate_loss(batch)))
    assert margin.item() == pytest.approx(0.1 * statistics.take()["loss/margin"])
    margin.backward()
    assert mine.network.id_embedding.weight.grad.abs().sum() > 0


def test_a_loss_of_the_weight_0_is_not_computed(margin_loss, monkeypatch):
    monkeypatch.setattr(margin_loss, "forward", None)
    mine = model(losses=["ce", "margin"], margin_weight=0).train()
    assert mine.calculate_loss(windows([1, 2, 3]))[1] == 0


def test_an_unknown_loss_is_refused():
    with pytest.raises(UserError, match=r"no loss 'margin'.*ce, combination, kd, mean_ce"):
        model(losses=["ce", "margin"])


@pytest.mark.parametrize("names", ["ce", [], None])
def test_losses_are_a_list(names):
    with pytest.raises(UserError, match="losses is"):
        model(losses=names)


def test_a_loss_that_needs_an_option_says_which(margin_loss):
    @LOSSES.register("needy")
    class Needy(Loss):
        def __init__(self, *, depth):
            super().__init__()

    try:
        with pytest.raises(UserError, match="needs the option needy_depth"):
            model(losses=["ce", "needy"])
    finally:
        del LOSSES["needy"]


def test_a_name_is_given_once(margin_loss):
    with pytest.raises(UserError, match="'ce' is registered already"):
        LOSSES.register("ce")(margin_loss)
    assert LOSSES.register("margin")(margin_loss) is margin_loss  # a notebook's cell runs again


@fused_or_plain
def test_the_statistics_are_the_means_since_the_last_time(use_fused):
    recommender = model(fused_loss=use_fused).train()
    statistics = LossStatistics(recommender.objective)
    assert statistics.take() == {}
    batch = windows([1, 2, 3, 4, 5], [6, 7, 8])
    for _ in range(2):
        recommender.calculate_loss(batch)
    found = statistics.take()
    assert set(found) == {
        *("loss/id", "loss/text", "loss/image"),
        *("taught/id-text", "taught/id-image", "taught/mean-id"),
    }
    assert found["loss/id"] == pytest.approx(math.log(8), rel=0.05)  # eight items, nothing learned
    recommender.eval().calculate_loss(batch)
    assert statistics.take() == {}
