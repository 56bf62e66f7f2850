"""The fused loss equals the plain one, whatever the shapes and whatever is missing."""

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.model import StepScores, fused
from recbole_mmdistill.model.combine import Combination
from recbole_mmdistill.model.losses import (
    CombinationLoss,
    CrossEntropy,
    Distillation,
    MeanCrossEntropy,
)
from recbole_mmdistill.model.objective import Objective
from recbole_mmdistill.model.repeats import RepeatCandidates
from recbole_mmdistill.model.widths import stack

NAMES = ["id", "text", "image", "sound"]


@st.composite
def steps(draw):
    """Scores of a step, with all that is learned."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    n_branches, n_rows = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    n_candidates = draw(st.integers(2, 12))
    widths = draw(st.lists(st.integers(1, 5), min_size=n_branches, max_size=n_branches))
    users = [torch.randn(n_rows, width).requires_grad_() for width in widths]
    items = [torch.randn(n_candidates, width).requires_grad_() for width in widths]
    present = torch.rand(n_branches, n_candidates) >= draw(st.sampled_from([0, 0.3, 0.8]))
    present[0] |= ~present.any(0)  # an item without any source is no candidate
    combination = Combination(NAMES[:n_branches], draw(st.sampled_from(["learned", None])))
    if combination.is_learned:
        torch.nn.init.normal_(combination.weight_logit)
        torch.nn.init.normal_(combination.log_missing_factor, std=0.2)
    learned = [*users, *items, *combination.parameters()]
    sample, repeats = {}, None
    if draw(st.booleans()):
        sample = {
            "log_q": -torch.rand(n_candidates) * 3,
            "exclude": torch.randint(n_candidates, (2, 3)),
            "group": torch.randint(2, (n_rows,)),
        }
    if draw(st.booleans()):
        # As RepeatBias gives them: a position that is named twice has the same bias, and a
        # gradient once.
        position = torch.randint(n_candidates, (n_rows, 2))
        bias = torch.randn(n_rows, 2).requires_grad_()
        again = position[:, :1] == position[:, 1:]
        second = torch.where(again, bias[:, :1].detach(), bias[:, 1:])
        repeats = RepeatCandidates(position, torch.cat([bias[:, :1], second], dim=1))
        learned.append(bias)
    scores = StepScores(
        user=stack(users),
        item=stack(items),
        target=torch.randint(n_candidates, (n_rows,)),
        present=present,
        weight=combination.in_training(present),
        repeats=repeats,
        combination=combination,
        epoch=draw(st.floats(0, 9)),
        step=draw(st.integers(0, 9)),
        **sample,
    )
    return scores, learned


@st.composite
def objectives(draw):
    """The fused objective and the plain one, as functions of the branches."""
    weight = st.sampled_from([0.0, 0.3, 1.0, 2.0])
    weights = {name: draw(weight) for name in ("ce", "mean_ce", "kd", "combination")}
    options = {
        "pairs": draw(st.permutations([["id", "text"], ["image", "id"], ["mean", "id"]])),
        "temperature": draw(st.sampled_from([0.5, 1.0, 2.0, 3.0])),
        "ramp_epochs": draw(st.sampled_from([0, 5])),
        "detach_teacher": draw(st.booleans()),
    }

    def make(branches, use_fused):
        return Objective(
            {
                "ce": CrossEntropy(branches=branches, weight=weights["ce"]),
                "mean_ce": MeanCrossEntropy(weight=weights["mean_ce"]),
                "kd": Distillation(branches=branches, weight=weights["kd"], **options),
                "combination": CombinationLoss(
                    weight=weights["combination"], is_counted=not weights["mean_ce"]
                ),
            },
            use_fused,
        )

    return make


@given(steps(), objectives(), st.sampled_from([1, 20, 2**18]))
@settings(max_examples=40, deadline=None)
def test_values_and_gradients_are_the_same(step, make, block):
    scores, learned = step
    found = []
    before, fused._CPU_BLOCK = fused._CPU_BLOCK, block
    try:
        for use_fused in (True, False):
            value = make(NAMES[: scores.n_branches], use_fused)(replace(scores))
            loss = sum(value.terms) + 0 * sum(x.sum() for x in learned)  # so that all take part
            found.append((value, torch.autograd.grad(loss, learned, retain_graph=True)))
    finally:
        fused._CPU_BLOCK = before
    (fast, fast_gradients), (plain, plain_gradients) = found
    torch.testing.assert_close(fast.terms, plain.terms, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast_gradients, plain_gradients, rtol=1e-3, atol=1e-5)
    assert fast.parts.keys() == plain.parts.keys() - {"mean_ce", "combination"}
    for name, part in fast.parts.items():
        torch.testing.assert_close(part, plain.parts[name], rtol=1e-4, atol=1e-5)
