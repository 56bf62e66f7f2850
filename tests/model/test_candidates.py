import pytest
import torch

from recbole_mmdistill.model import CANDIDATES
from recbole_mmdistill.model.build import keyword_arguments
from recbole_mmdistill.model.candidates import (
    items_of_step,
    log_inclusion,
    resolve_candidates,
)
from tests.model.builders import config
from tests.model.contracts import CandidateSamplerContract


class TestEveryCandidateSampler(CandidateSamplerContract):
    @pytest.fixture(params=sorted(CANDIDATES))
    def sampler(self, request):
        arguments = keyword_arguments(CANDIDATES, request.param, config(n_negatives=3))
        return CANDIDATES[request.param](**arguments)


def test_what_each_chooses():
    target, trained = torch.tensor([5, 2]), torch.tensor([1, 2, 3, 5])
    assert CANDIDATES["full"]().choose(target, trained).tolist() == [1, 2, 3, 5]
    assert CANDIDATES["in_batch"]().choose(target, trained).tolist() == [2, 5]
    assert len(CANDIDATES["sampled"](n_negatives=999).choose(target, trained)) == 4


@pytest.mark.parametrize(
    ("given", "n_items", "meant"),
    [
        ("auto", 4096, "full"),
        ("auto", 4097, "sampled"),
        ("full", 10**6, "full"),
        ("in_batch", 10, "in_batch"),
    ],
)
def test_the_softmax_runs_over_a_sample_where_the_catalogue_is_large(given, n_items, meant):
    assert resolve_candidates(given, n_items) == meant


def test_items_of_a_step_are_the_candidates_and_then_what_histories_read():
    items = items_of_step(torch.tensor([2, 5]), torch.tensor([[7, 2, 0]]), n_items=9)
    assert items.item.tolist() == [2, 5, 0, 7]
    assert items.n_candidates == 2
    assert items.position.tolist() == [2, 2, 0, 2, 2, 1, 2, 2, 2]  # 2 stands for none
    assert items.history.tolist() == [[3, 0, 2]]


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
