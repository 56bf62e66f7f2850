import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.model.repeats import RepeatBias
from tests.model.builders import model, prefixes, windows

HISTORIES = [[1, 2, 1, 4, 1], [6, 7, 8, 6], [2, 4], [8, 1, 3, 3]]


def bias(max_length, *values):
    """A RepeatBias whose bias is one of the values for distances 1, 2 to 3, 4 to 7 and so on."""
    found = RepeatBias(max_length)
    with torch.no_grad():
        found.weight.copy_(torch.tensor(values) / 10)  # it learns at ten times the usual pace
    return found


def test_the_bias_is_by_how_long_ago_an_item_came_last():
    item_seq = torch.tensor([[5, 6, 7, 5, 0, 0]])
    given_bias, latest = bias(6, -1.0, -2.0, -3.0)(item_seq, torch.tensor([0]), torch.tensor([3]))
    torch.testing.assert_close(given_bias, torch.tensor([[0, -2.0, -2.0, -1.0, 0, 0]]))
    assert latest.tolist() == [[False, True, True, True, False, False]]


def test_what_comes_after_the_position_is_not_read():
    item_seq = torch.tensor([[5, 6, 7, 5]])
    given_bias, _ = bias(4, -1.0, -2.0, -3.0)(item_seq, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(given_bias, torch.tensor([[-2.0, -1.0, 0, 0]]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.data())
def test_every_item_read_is_found_once_where_it_stands_last(history, data):
    position = data.draw(st.integers(0, len(history) - 1))
    item_seq = torch.tensor([history])
    _, latest = RepeatBias(9)(item_seq, torch.tensor([0]), torch.tensor([position]))
    read = history[: position + 1]
    last = {item: place for place, item in enumerate(read) if item}
    assert latest[0].nonzero().flatten().tolist() == sorted(last.values())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_own_candidates_are_those_of_the_history_each_named_once(history):
    item_seq = torch.tensor([history])
    index = torch.tensor([3, 0, 1, 3, 2, 3])  # items 3 and 5 are no candidates
    own = bias(8, -1.0, -2.0, -3.0, -4.0).candidates(
        item_seq, torch.tensor([0]), torch.tensor([len(history) - 1]), index, n_candidates=3
    )
    distance = {item: len(history) - place for place, item in enumerate(history)}
    expected = {
        index[item].item(): -float(distance[item].bit_length()) for item in {1, 2, 4} & {*history}
    }
    named = [place for place in own.position[0].tolist() if place < 3]
    assert sorted(named) == sorted(expected)
    biases = dict(zip(own.position[0].tolist(), own.bias[0].tolist()))
    assert {place: biases[place] for place in named} == pytest.approx(expected)


def test_the_gradient_counts_an_item_once():
    found = bias(4, -1.0, -2.0, -3.0)
    history = torch.tensor([[1, 2, 2, 0]])
    own = found.candidates(history, torch.tensor([0]), torch.tensor([2]), torch.arange(3), 3)
    own.bias.sum().backward()
    torch.testing.assert_close(found.weight.grad, torch.tensor([10.0, 10.0, 0]))


@pytest.mark.parametrize("candidates", ["full", "in_batch", "sampled"])
def test_loss_on_windows_equals_loss_on_prefixes_where_items_repeat(candidates):
    recommender = model(train_candidates=candidates, n_negatives=200)
    with torch.no_grad():
        recommender.network.repeat_bias.weight.copy_(torch.tensor([0.3, -0.2, 0.1]))
    # In a sample a window's own later items are no negatives, and a prefix knows of none: so the
    # histories have none that they have not read.
    histories = [[1, 1, 1], [2, 2, 2]] if candidates != "full" else HISTORIES
    torch.manual_seed(1)
    on_windows = sum(recommender.calculate_loss(windows(*histories)))
    torch.manual_seed(1)
    on_prefixes = sum(recommender.calculate_loss(prefixes(*histories)))
    torch.testing.assert_close(on_windows, on_prefixes)


@torch.no_grad()
def test_scores_differ_by_the_bias_on_the_history_s_items_alone():
    recommender = model()
    batch = prefixes([1, 2, 3, 1, 4])
    before = recommender.full_sort_predict(batch)
    recommender.network.repeat_bias.weight.copy_(torch.tensor([-0.1, -0.2, -0.3]))
    change = recommender.full_sort_predict(batch)[3] - before[3]
    expected = torch.zeros(9)
    expected[[1, 2, 3]] = torch.tensor([-1.0, -2.0, -2.0])
    expected[3] *= 2 / 3  # it lacks an image: the bias is part of the two branches that it has
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_predict_gives_the_full_sort_s_score_of_a_repeated_item():
    recommender = model()
    recommender.network.repeat_bias.weight.copy_(torch.tensor([-0.1, -0.2, -0.3]))
    batch = prefixes(*HISTORIES)
    scores = recommender.full_sort_predict(batch)
    row = torch.arange(len(batch))
    torch.testing.assert_close(recommender.predict(batch), scores[row, batch["item_id"]])


@pytest.mark.parametrize("candidates", ["full", "in_batch", "sampled"])
@pytest.mark.parametrize(("histories", "sign"), [("repeating", 1), ("never", -1)])
def test_it_learns_whether_items_come_again(candidates, histories, sign):
    recommender = model(train_candidates=candidates, learning_rate=0.01, n_negatives=50).train()
    batch = windows(
        *{
            "repeating": [[1, 1, 1], [4, 4, 4], [8, 8, 8]],
            "never": [[1, 2, 3], [5, 6, 7], [8, 4, 2]],
        }[histories]
    )
    optimizer = torch.optim.AdamW(recommender.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        sum(recommender.calculate_loss(batch)).backward()
        optimizer.step()
    assert recommender.network.repeat_bias.weight[0] * sign > 0


@torch.no_grad()
def test_without_it_the_history_s_items_are_as_any_others():
    recommender = model(repeat_bias=False)
    assert recommender.network.repeat_bias is None
    batch = prefixes([1, 2, 3])
    user = recommender(batch["item_id_list"], batch["item_length"])
    assert torch.equal(recommender.full_sort_predict(batch), user @ recommender.score_table().T)


def test_the_rate_says_how_far_a_step_moves_the_bias():
    item_seq = torch.tensor([[3, 4]])
    biases = []
    for rate in (1.0, 10.0):
        bias = RepeatBias(2, rate)
        with torch.no_grad():
            bias.weight.fill_(-0.5)
        biases.append(bias(item_seq, torch.tensor([0]), torch.tensor([1]))[0].tolist())
    assert biases == [[[-0.5, -0.5]], [[-5.0, -5.0]]]
