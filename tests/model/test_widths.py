"""Branches of unequal widths: scores, learning, and what the option gives to each source."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.model import ITEM_ENCODERS, SEQUENCE_ENCODERS
from recbole_mmdistill.model.user_encoder import USER_ENCODERS
from recbole_mmdistill.model.widths import by_width, resolve_widths, stack, unstack
from tests.model.builders import features, model, prefixes, windows

HISTORIES = [[1, 2, 3, 4, 5], [6, 7, 8], [2, 4]]


def drawn(**options):
    """A model of which every weight matters."""
    made = model(weight_average=0, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    return made


widths = st.fixed_dictionaries(
    {name: st.sampled_from([4, 8, 12]) for name in ("id", "text", "image")}
)


@given(
    widths,
    st.sampled_from(sorted(ITEM_ENCODERS)),
    st.sampled_from(sorted(USER_ENCODERS)),
    st.sampled_from(sorted(SEQUENCE_ENCODERS)),
)
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_scores_are_the_sum_of_the_branches_products(given, item, user, sequence):
    made = drawn(
        branch_width=given,
        item_encoder=item,
        user_encoder=user,
        sequence_encoder=sequence,
        repeat_bias=False,
    )
    batch = prefixes(*HISTORIES)
    item_seq, length = batch["item_id_list"], batch["item_length"]
    scorer, catalogue = made.scorer, made.catalogue
    last = torch.arange(len(length)), length - 1
    states = unstack(made.network.user_encoder(scorer.vectors, item_seq, last))
    weights = made.network.combination(catalogue.present)
    trained = catalogue.train_count > 0
    expected = torch.zeros(len(length), 9)
    found_widths = []
    for branch, vectors in enumerate(unstack(scorer.vectors)):
        mean = vectors[catalogue.present[branch] & trained].mean(0)
        expected += states[branch] @ ((vectors - mean) * weights[branch, :, None]).T
        found_widths.append(vectors.size(1))
    torch.testing.assert_close(made.full_sort_predict(batch), expected, rtol=1e-4, atol=1e-4)
    own = {**given, "all": max(given.values())}  # of an encoder that fuses the sources
    assert found_widths == [own[branch] for branch in made.branches]


@given(widths, st.sampled_from(sorted(USER_ENCODERS)))
@settings(max_examples=10, deadline=None)
def test_the_fast_loss_has_the_gradients_of_the_plain_one(given, user_encoder):
    gradients = []
    for fused in (True, False):
        made = drawn(branch_width=given, user_encoder=user_encoder, fused_loss=fused).train()
        sum(made.calculate_loss(windows(*HISTORIES))).backward()
        gradients.append([parameter.grad for parameter in made.parameters()])
    assert all(gradient is not None for gradient in gradients[0])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("item_encoder", ["imt", "late"])
def test_it_learns_with_all_that_a_step_may_do(item_encoder):
    made = model(
        item_encoder=item_encoder,
        branch_width={"text": 12},
        imt_width=4,
        source_dropout_prob=0.3,
        train_candidates="sampled",
        n_negatives=3,
    ).train()
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = sum(made.calculate_loss(windows(*HISTORIES)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@torch.no_grad()
def test_a_large_catalogue_is_encoded_in_parts(monkeypatch):
    made = drawn(branch_width={"text": 12})
    whole = made.network.encode_catalogue(9, torch.device("cpu"))
    monkeypatch.setattr("recbole_mmdistill.model.network._ITEMS_AT_ONCE", 4)
    torch.testing.assert_close(made.network.encode_catalogue(9, torch.device("cpu")), whole)


@torch.no_grad()
def test_one_width_for_all_is_that_hidden_size():
    one, other = model(hidden_size=16), model(hidden_size=16, branch_width=16)
    assert one.state_dict().keys() == other.state_dict().keys()
    batch = prefixes(*HISTORIES)
    assert torch.equal(one.full_sort_predict(batch), other.full_sort_predict(batch))


def test_auto_gives_a_modality_what_its_features_carry():
    modalities = {"text": features(1, dim=6), "image": features(2, dim=3)}
    made = model(modalities, branch_width="auto")
    vectors = unstack(made.encode_items(torch.arange(9)))
    assert [of.size(1) for of in vectors] == [8, 12, 8]


@pytest.mark.parametrize(
    ("branch_width", "expected"),
    [
        (None, [64, 64, 64]),
        (96, [96, 96, 96]),
        ({"text": 256}, [64, 256, 64]),
        ("auto", [64, 252, 90]),
    ],
)
def test_the_width_of_each_source(branch_width, expected):
    n_components = {"text": 128, "image": 47}
    found = resolve_widths(["id", *n_components], branch_width, 64, n_components, n_heads=6)
    assert [*found.values()] == expected


def test_without_the_id_it_has_no_width():
    assert resolve_widths(["text"], {"id": 8}, 64, {"text": 4}) == {"text": 64}


def test_widths_that_cannot_be_are_said_with_their_source():
    with pytest.raises(UserError) as error:
        model(branch_width={"text": 7, "txt": 8}, imt_width=3)
    message = str(error.value)
    assert "branch_width of text 7 is not a multiple of n_heads 2" in message
    assert "branch_width names 'txt', but the sources are id, text, image" in message
    assert "imt_width 3 is not a multiple of imt_heads 2" in message


def test_neighbours_of_one_width_are_one_stack():
    branches = [torch.randn(5, width) for width in (4, 8, 8, 4)]
    stacks = stack(branches)
    assert [tuple(part.shape) for part in stacks] == [(1, 5, 4), (2, 5, 8), (1, 5, 4)]
    torch.testing.assert_close(unstack(stacks), branches)
    factor = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    scaled = unstack(by_width(torch.mul, stacks, factor))
    torch.testing.assert_close(scaled, [(n + 1) * x for n, x in enumerate(branches)])
