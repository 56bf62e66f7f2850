from functools import partial

import pytest
import torch

from recbole_mmdistill.model import SEQUENCE_ENCODERS
from recbole_mmdistill.model.sequence_encoder import SASRecEncoder
from recbole_mmdistill.model.user_encoder import USER_ENCODERS, UserEncoder
from recbole_mmdistill.model.widths import stack, unstack
from tests.model.builders import model, prefixes, windows

ATTENTION = {"max_length": 6, "inner_size": 16}
OPTIONS = {"sasrec": ATTENTION, "gru_sasrec": ATTENTION, "gru4rec": {"inner_size": 16}}
VECTORS = torch.randn(3, 9, 8, generator=torch.Generator().manual_seed(0))
PLACE = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


def make(name):
    torch.manual_seed(0)
    groups = USER_ENCODERS[name](["id", "text", "image"])
    make = partial(SASRecEncoder, hidden_size=8, max_length=6, inner_size=16)
    return UserEncoder(groups, [8, 8, 8], make, is_stackable=True).eval()


@pytest.fixture(params=sorted(USER_ENCODERS))
def encoder(request):
    return make(request.param)


def at(*where):
    return tuple(torch.tensor(where).T)


def test_it_gives_a_state_for_each_branch_and_place(encoder):
    states = encoder(VECTORS, PLACE, at((0, 3), (1, 0)))
    assert states.shape == (3, 2, 8)
    torch.testing.assert_close(encoder(VECTORS, PLACE, at((1, 0)))[:, 0], states[:, 1])


def test_no_state_knows_what_comes_later(encoder):
    before = encoder(VECTORS, PLACE, at((0, 1)))
    changed = PLACE.clone()
    changed[0, 2:] = 0
    torch.testing.assert_close(before, encoder(VECTORS, changed, at((0, 1))))


@pytest.mark.parametrize("name", sorted(USER_ENCODERS))
def test_of_unequal_widths_a_branch_s_own_gradients_are_those_of_its_state_alone(name):
    torch.manual_seed(0)
    widths, groups = [8, 12, 8], USER_ENCODERS[name](["id", "text", "image"])
    make = partial(SASRecEncoder, max_length=6, inner_size=16)
    encoder = UserEncoder(groups, widths, make, is_stackable=True).eval()
    vectors = [torch.randn(9, width) for width in widths]
    for branch in range(3):
        encoder.zero_grad()
        states = unstack(encoder(stack(vectors), PLACE, at((0, 3), (1, 0))))
        states[branch].square().sum().backward()
        norms = [
            sum(float(grad.norm()) for grad in encoder.gradients_of(other)) for other in range(3)
        ]
        assert [norm > 0 for norm in norms] == [other == branch for other in range(3)]


def test_a_branch_s_own_gradients_are_those_of_its_state_alone(encoder):
    for branch in range(3):
        encoder.zero_grad()
        encoder(VECTORS, PLACE, at((0, 3), (1, 0)))[branch].square().sum().backward()
        norms = [
            sum(float(grad.norm()) for grad in encoder.gradients_of(other)) for other in range(3)
        ]
        assert [norm > 0 for norm in norms] == [other == branch for other in range(3)]


@pytest.mark.parametrize("name", sorted(SEQUENCE_ENCODERS))
def test_encoders_side_by_side_are_what_each_is_alone(name):
    torch.manual_seed(0)
    make = partial(SEQUENCE_ENCODERS[name], hidden_size=8, **OPTIONS.get(name, {}))
    stacked = make(n_stacked=3).eval()
    alone = make().eval()
    history = torch.randn(3, 2, 6, 8)
    for number in range(3):
        weights = {
            key: weight.unflatten(0, (3, -1))[number].reshape(alone.state_dict()[key].shape)
            for key, weight in stacked.state_dict().items()
        }
        alone.load_state_dict(weights)
        torch.testing.assert_close(stacked(history)[number], alone(history[number]))


@pytest.mark.parametrize(
    "name, by_ids, by_texts",
    [
        ("separate", [True, False, False], [False, True, False]),
        ("id_apart", [True, False, False], [False, True, True]),
        ("shared", [True, True, True], [True, True, True]),
    ],
)
def test_which_branches_see_the_ids_and_the_texts_of_a_history(name, by_ids, by_texts):
    assert branches_that_move(make(name), source=0) == by_ids
    assert branches_that_move(make(name), source=1) == by_texts


def branches_that_move(encoder, source):
    other = VECTORS.clone()
    other[source] += torch.randn(9, 8, generator=torch.Generator().manual_seed(1))
    states = [encoder(vectors, PLACE, at((0, 3))) for vectors in (VECTORS, other)]
    return [not torch.equal(*pair) for pair in zip(*states)]


@pytest.mark.parametrize(
    "branches, groups",
    [
        (["id", "text", "image"], [[0], [1, 2]]),
        (["id", "text"], [[0], [1]]),
        (["text", "image"], [[0, 1]]),
        (["id"], [[0]]),
        (["all"], [[0]]),
    ],
)
def test_the_id_stands_apart_whatever_else_there_is(branches, groups):
    assert USER_ENCODERS["id_apart"](branches) == groups


@pytest.mark.parametrize("name", sorted(USER_ENCODERS))
def test_the_model_learns_through_it(name):
    recommender = model(user_encoder=name).train()
    sum(recommender.calculate_loss(windows([1, 2, 3], [4, 5]))).backward()
    assert all(p.grad is not None for p in recommender.parameters())
    assert recommender.eval().full_sort_predict(prefixes([1, 2, 3])).shape == (2, 9)


@pytest.mark.parametrize("name", sorted(SEQUENCE_ENCODERS))
@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("widths", [[8, 8, 8, 8], [8, 6, 12, 8], [4, 8, 8, 6]])
def test_a_part_reads_as_the_whole_does(name, stacked, widths):
    torch.manual_seed(0)
    make = partial(SEQUENCE_ENCODERS[name], **OPTIONS.get(name, {}))
    whole = UserEncoder([[0], [1, 2], [3]], widths, make, is_stackable=stacked).eval()
    vectors = [torch.randn(9, width) for width in widths]

    def read(encoder, some):
        return unstack(encoder(stack(vectors[some]), PLACE, at((0, 3), (1, 0))))

    states = read(whole, slice(4))
    assert [state.size(1) for state in states] == widths
    torch.testing.assert_close(read(whole.part([1]), slice(1, 3)), states[1:3])
    torch.testing.assert_close(read(whole.part([1, 2]), slice(1, 4)), states[1:])
    torch.testing.assert_close(read(whole, slice(4)), states)
