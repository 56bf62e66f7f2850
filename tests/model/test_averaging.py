import copy

import pytest
import torch

from recbole_mmdistill.model import SEQUENCE_ENCODERS
from recbole_mmdistill.model.averaging import WeightAverage
from recbole_mmdistill.model.rows import RowEmbedding
from tests.model.builders import model, prefixes, windows

BATCH = windows([1, 2, 3, 4, 5], [6, 7, 8])


def train(recommender, n_steps, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(recommender.parameters(), lr=0.1)
    seen = []
    recommender.train()
    for _ in range(n_steps):
        optimizer.zero_grad()
        sum(recommender.calculate_loss(BATCH)).backward()
        optimizer.step()
        seen.append(recommender.network.id_embedding.weight.detach().clone())
    return seen


def test_the_average_of_two_steps_by_hand():
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, 5.0)
    average = WeightAverage(line, decay=0.5)
    for value in (1.0, 3.0):
        torch.nn.init.constant_(line.weight, value)
        average.update(line)
    # Decays of 1/4 and 2/5: 3/4 * 1 + 1/4 * 5 = 2, then 3/5 * 3 + 2/5 * 2 = 2.6.
    averaged = average.averaged(line)
    torch.testing.assert_close(averaged.weight.item(), 2.6)
    assert not averaged.weight.requires_grad
    assert line.weight.item() == 3.0


def test_a_copy_shares_its_memory_with_the_averages_and_its_buffers_with_the_network():
    network = torch.nn.BatchNorm1d(3)
    average = WeightAverage(network, decay=0.5)
    averaged = average.averaged(network)
    assert averaged.weight.data_ptr() == average.get_buffer("weight").data_ptr()
    assert averaged.running_mean is network.running_mean


@pytest.mark.parametrize("backbone", sorted(SEQUENCE_ENCODERS))
def test_evaluation_changes_nothing_in_the_model(backbone):
    recommender = model(sequence_encoder=backbone)
    train(recommender, 5)
    recommender.eval()
    before = copy.deepcopy(recommender.state_dict())
    with torch.no_grad():
        recommender.full_sort_predict(prefixes([1, 2, 3]))
        recommender.predict(prefixes([1, 2, 3]))
    after = recommender.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def test_evaluation_reads_the_averages():
    recommender = model()
    with torch.enable_grad():
        train(recommender, 5)
    batch = prefixes([1, 2, 3])
    scores = recommender.eval().full_sort_predict(batch)
    by_hand = model(weight_average=0)
    state = recommender.state_dict()
    for name, parameter in by_hand.network.named_parameters():
        parameter.copy_(state["weight_average." + name.replace(".", "/")])
    torch.testing.assert_close(by_hand.full_sort_predict(batch), scores)
    recommender.weight_average = None
    assert not torch.allclose(recommender.full_sort_predict(batch), scores)


def test_evaluating_in_between_changes_nothing():
    steady, evaluated = model(), model()
    train(steady, 4)
    for _ in range(4):
        train(evaluated, 1)
        evaluated.eval()
    assert torch.equal(
        steady.eval().full_sort_predict(prefixes([1, 2, 3])),
        evaluated.full_sort_predict(prefixes([1, 2, 3])),
    )


def test_a_checkpoint_taken_in_evaluation_resumes_training_exactly():
    first = model()
    optimizer = torch.optim.Adam(first.parameters(), lr=0.1)
    train(first, 3, optimizer)
    saved = copy.deepcopy(first.eval().state_dict())
    resumed = model(seed=1)
    resumed.load_state_dict(saved)
    resumed.eval()
    batch = prefixes([1, 2, 3])
    assert torch.equal(first.full_sort_predict(batch), resumed.full_sort_predict(batch))
    for ours in (first, resumed):
        optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
        train(ours, 2, optimizer)
        ours.eval()
    assert torch.equal(first.full_sort_predict(batch), resumed.full_sort_predict(batch))


def test_it_can_be_turned_off():
    recommender = model(weight_average=0)
    last = train(recommender, 3)[-1]
    assert torch.equal(recommender.eval().network.id_embedding.weight, last)
    assert not any("average" in name for name in recommender.state_dict())


def test_an_average_of_rows_is_that_of_the_whole_table():
    torch.manual_seed(0)
    table, whole = RowEmbedding(6, 2), torch.nn.Embedding(6, 2)
    whole.weight.data.copy_(table.weight)
    of_rows = WeightAverage(torch.nn.Sequential(table, torch.nn.Linear(2, 2)), decay=0.9)
    of_whole = WeightAverage(torch.nn.Sequential(whole, torch.nn.Linear(2, 2)), decay=0.9)
    networks = [
        torch.nn.Sequential(embedding, torch.nn.Linear(2, 2)) for embedding in (table, whole)
    ]
    for rows in ([0, 1], [1, 2], [1], [4, 0], [2]):
        index, change = torch.tensor(rows), torch.randn(len(rows), 2)
        table(index)
        of_rows.before_change(networks[0])
        for embedding in (table, whole):
            embedding.weight.data.index_add_(0, index, change)
        of_rows.update(networks[0])
        of_whole.update(networks[1])
    averaged = [of.averaged(network) for of, network in zip((of_rows, of_whole), networks)]
    torch.testing.assert_close(averaged[0][0].weight, averaged[1][0].weight)
