import copy

import torch

from recbole_mmdistill.model.averaging import WeightAverage
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
        seen.append(recommender.id_embedding.weight.detach().clone())
    return seen


def test_the_average_of_two_steps_by_hand():
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, 5.0)
    average = WeightAverage(line, decay=0.5)
    for value in (1.0, 3.0):
        torch.nn.init.constant_(line.weight, value)
        average.add()
    # Decays of 1/4 and 2/5: 3/4 * 1 + 1/4 * 5 = 2, then 3/5 * 3 + 2/5 * 2 = 2.6.
    average.use(True)
    torch.testing.assert_close(line.weight.item(), 2.6)
    average.use(True)  # once more changes nothing
    average.use(False)
    assert line.weight.item() == 3.0


def test_evaluation_uses_the_average_and_training_goes_on_where_it_was():
    recommender = model()
    last = train(recommender, 5)[-1]
    recommender.eval()
    evaluated = recommender.id_embedding.weight.detach().clone()
    assert not torch.allclose(evaluated, last)
    recommender.train()
    assert torch.equal(recommender.id_embedding.weight, last)


def test_looking_in_between_changes_nothing():
    steady, looked_at = model(), model()
    train(steady, 4)
    for _ in range(4):
        train(looked_at, 1)
        looked_at.eval()
    assert torch.equal(
        steady.eval().full_sort_predict(prefixes([1, 2, 3])),
        looked_at.full_sort_predict(prefixes([1, 2, 3])),
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
    assert torch.equal(recommender.eval().id_embedding.weight, last)
    assert not any("average" in name for name in recommender.state_dict())
