"""Recorded steps: values and gradients are those of steps that are computed as ever."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_mmdistill.model import device, recorded
from recbole_mmdistill.model.objective import LossStatistics
from tests.model.builders import model, prefixes, windows

GPU = torch.device("cuda") if torch.cuda.is_available() else None

# The same number of histories as long as one another, and 7, 8 and 9 targets.
BATCHES = [
    [[1, 2, 3, 4, 2], [6, 7, 8], [5, 1]],
    [[8, 2, 3, 4, 1], [6, 5, 2], [3, 1, 5]],
    [[5, 3, 1, 4, 2], [8, 6, 2], [3, 1, 5, 2]],
    [[2, 7, 1, 4, 3], [1, 6, 8], [3, 1]],
]


@pytest.fixture
def as_if_on_a_gpu(monkeypatch):
    """A recording that computes again, where there is no GPU to launch one."""
    monkeypatch.setattr(recorded, "filled_size", lambda n: n + 5)
    if GPU is not None:
        return

    def record(compute, generator, beside):
        result = compute()

        def replay():
            with torch.enable_grad():
                again = compute()
            for old, new in zip(tensors(result), tensors(again)):
                old.copy_(new)

        return SimpleNamespace(replay=replay), result

    def tensors(result):
        terms, parts, gradients = result
        return [terms, *parts.values(), *(g for g in gradients if g is not None)]

    monkeypatch.setattr(recorded, "record", record)
    monkeypatch.setattr(recorded, "records_on", lambda tensor: True)
    monkeypatch.setattr(device, "on_host", lambda tensor: False)


def drawn(**options):
    """A model in training whose weights are all somewhere."""
    recommender = model(**options).train()
    torch.manual_seed(1)
    for parameter in recommender.network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return recommender.to(GPU or "cpu")


def batch_of(make, histories):
    batch = make(*histories)
    if "target_item_id_list" in batch:
        row, position = batch["target_item_id_list"].nonzero(as_tuple=True)
        batch.update(Interaction({"target_row": row, "target_position": position}))
    return batch.to(GPU or "cpu")


def trained(recommender, make=windows, n_epochs=3):
    """Losses and gradients of some steps, all with the same weights."""
    found = []
    for histories in BATCHES * n_epochs:
        recommender.zero_grad()
        torch.manual_seed(3)
        terms = recommender.calculate_loss(batch_of(make, histories))
        sum(terms).backward()
        gradients = {n: p.grad for n, p in recommender.named_parameters() if p.grad is not None}
        # It is learned from rows drawn at random, one for each row: those that fill up draw too.
        gradients.pop("network.combination.log_missing_factor", None)
        found.append(([term.item() for term in terms], deepcopy(gradients)))
    return found


@pytest.mark.usefixtures("as_if_on_a_gpu")
@pytest.mark.parametrize("make", [windows, prefixes])
@pytest.mark.parametrize("candidates", ["full", "in_batch"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"item_encoder": "late", "kd_detach_teacher": False},
        {"item_encoder": "concat"},
        {"kd_weight": 0, "branch_weights": None, "repeat_bias": False},
        {"mean_ce_weight": 0, "user_encoder": "shared", "kd_ramp_epochs": 0},
    ],
)
def test_losses_and_gradients_stay(make, candidates, options):
    options = {"train_candidates": candidates, **options}
    expected = trained(drawn(cuda_graph=False, **options), make)
    recommender = drawn(**options)
    found = trained(recommender, make)
    assert len(recommender._recorded._recordings) > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_targets_are_filled_up_to_a_few_sizes():
    assert [recorded.filled_size(n) for n in (7, 17, 33, 1000, 1024, 1025)] == [
        *(7, 17, 34, 1024, 1024, 1088)
    ]


@pytest.mark.usefixtures("as_if_on_a_gpu")
def test_the_factor_of_new_items_learns():
    recommender = drawn()
    for histories in BATCHES * 3:
        recommender.zero_grad()
        sum(recommender.calculate_loss(batch_of(windows, histories))).backward()
    assert recommender.network.combination.log_missing_factor.grad.abs().sum() > 0


@pytest.mark.usefixtures("as_if_on_a_gpu")
def test_the_statistics_hear_of_every_step():
    recommender, other = drawn(), drawn(cuda_graph=False)
    mine, theirs = LossStatistics(recommender.objective), LossStatistics(other.objective)
    trained(recommender)
    trained(other)
    assert mine.take() == pytest.approx(theirs.take(), rel=1e-4)


@pytest.mark.usefixtures("as_if_on_a_gpu")
def test_a_change_of_the_weights_is_seen():
    recommender, other = drawn(), drawn(cuda_graph=False)
    trained(recommender)
    weights = {n: x + 0.1 if x.is_floating_point() else x for n, x in other.state_dict().items()}
    recommender.load_state_dict(weights)
    other.load_state_dict(weights)
    torch.testing.assert_close(trained(recommender), trained(other), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("as_if_on_a_gpu")
def test_a_change_of_an_option_is_seen_from_the_next_epoch_on():
    recommender, other = drawn(), drawn(cuda_graph=False)
    for each in (recommender, other):
        trained(each)
        each.network.repeat_bias.rate = 1.0
        each.network.id_embedding.weight.requires_grad_(False)
        each.train()
    torch.testing.assert_close(trained(recommender), trained(other), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("as_if_on_a_gpu")
@pytest.mark.parametrize("number", [0, 2])
def test_a_gradient_that_was_overwritten_is_none(number):
    recommender = drawn()
    trained(recommender)
    batches = batch_of(windows, BATCHES[0]), batch_of(windows, BATCHES[number])
    first, second = (sum(recommender.calculate_loss(batch)) for batch in batches)
    second.backward()
    with pytest.raises(RuntimeError, match="Call backward after each step"):
        first.backward()


class TestNothingIsRecorded:
    """Of what a recording would not know of."""

    @pytest.fixture(autouse=True)
    def on_a_gpu(self, as_if_on_a_gpu):
        pass

    def test_with_a_part_of_the_user_s(self):
        class Mine(torch.nn.Identity):
            pass

        recommender = drawn()
        recommender.network.item_encoder.mine = Mine()
        recommender.train()
        trained(recommender)
        assert not recommender._recorded._recordings

    def test_while_somebody_listens_to_a_module(self):
        recommender, heard = drawn(), []
        recommender.network.item_encoder.register_forward_hook(lambda *_: heard.append(1))
        trained(recommender)
        assert len(heard) == 3 * len(BATCHES)

    def test_of_losses_computed_plainly(self):
        recommender = drawn(fused_loss=False)
        trained(recommender)
        assert not recommender._recorded._recordings

    def test_after_it_failed_once(self, monkeypatch):
        def fail(*_):
            raise RuntimeError("operation not permitted when stream is capturing")

        monkeypatch.setattr(recorded, "record", fail)
        recommender = drawn()
        with pytest.warns(UserWarning, match="not recorded .*not permitted") as warned:
            found = trained(recommender)
        assert len(warned) == 1
        torch.testing.assert_close(found, trained(drawn(cuda_graph=False)))

    def test_in_evaluation(self):
        recommender = drawn()
        batch = batch_of(windows, BATCHES[0])
        for _ in range(4):
            recommender.eval().calculate_loss(batch)
        assert not recommender._recorded._recordings

    @pytest.mark.skipif(GPU is None, reason="no GPU")
    def test_where_a_step_waits_for_the_gpu(self, monkeypatch):
        recommender, other = drawn(), drawn(cuda_graph=False)
        waiting = type(recommender.network.source_dropout)
        monkeypatch.setattr(waiting, "forward", lambda self, x: x * (float(x.sum()) ** 0))
        with pytest.warns(UserWarning, match="not recorded"):
            found = trained(recommender)
        torch.testing.assert_close(found, trained(other), rtol=1e-4, atol=1e-5)
