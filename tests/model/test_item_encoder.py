"""Every item encoder keeps the contract; and what the ID mask of the IMT promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.model import ITEM_ENCODERS
from recbole_mmdistill.model.build import keyword_arguments
from tests.model.builders import config, model, windows
from tests.model.contracts import SOURCES, ItemEncoderContract
from tests.model.contracts import source_tokens as inputs


def build(name, **options):
    torch.manual_seed(0)
    arguments = keyword_arguments(ITEM_ENCODERS, name, config(**options), sources=SOURCES)
    encoder = ITEM_ENCODERS[name](**arguments).eval()
    for parameter in encoder.parameters():  # large weights, so that a leak would show
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


class TestEveryItemEncoder(ItemEncoderContract):
    @pytest.fixture(params=sorted(ITEM_ENCODERS))
    def encoder(self, request):
        return build(request.param)


@pytest.mark.parametrize("name", ["imt", "late", "gated"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_missing_source_is_never_a_key(name, data):
    """Whatever stands in a source's place where it is missing, the other vectors do not move."""
    encoder = build(name)
    source = data.draw(st.sampled_from(["text", "image"]))
    lacking = torch.tensor(data.draw(st.lists(st.booleans(), min_size=4, max_size=4)))
    original = inputs()
    mask = original[source].mask & ~lacking[:, None]
    original[source] = original[source]._replace(mask=mask)
    noise = torch.randn(4, 3, 8) * lacking[:, None, None]
    changed = original | {source: original[source]._replace(tokens=original[source].tokens + noise)}
    others = [n for n, branch in enumerate(SOURCES) if branch != source]
    torch.testing.assert_close(encoder(original)[others], encoder(changed)[others])


@pytest.mark.parametrize("name", ["imt", "gated"])
def test_with_the_id_mask_text_and_image_do_not_move_when_every_id_changes(name):
    encoder = build(name)
    changed = inputs() | {"id": inputs(seed=1)["id"]}
    before, after = encoder(inputs()), encoder(changed)
    assert torch.equal(before[1:], after[1:])
    assert not torch.allclose(before[0], after[0])


def test_without_the_id_mask_they_do():
    encoder = build("imt", id_mask=False)
    changed = inputs() | {"id": inputs(seed=1)["id"]}
    before, after = encoder(inputs()), encoder(changed)
    assert not torch.allclose(before[1], after[1])
    assert not torch.allclose(before[2], after[2])


def test_the_id_reads_text_and_image():
    encoder = build("imt")
    for source in ("text", "image"):
        changed = inputs() | {source: inputs(seed=1)[source]}
        assert not torch.allclose(encoder(inputs())[0], encoder(changed)[0])


@pytest.mark.parametrize("residual", [True, False])
def test_with_the_residual_each_source_begins_as_it_would_alone(residual):
    encoder = build("imt", imt_residual=residual)
    encoder.reset_parameters()
    first_tokens = torch.stack([inputs()[source].tokens[:, 0] for source in SOURCES])
    with torch.no_grad():
        for head in [encoder.heads]:
            torch.nn.init.zeros_(head[2].bias)
    assert torch.equal(encoder(inputs()), first_tokens) == residual


def test_with_its_gates_shut_each_source_is_as_in_late():
    encoder = build("gated")
    assert not torch.allclose(encoder(inputs()), build("late")(inputs()))
    torch.nn.init.zeros_(encoder.gate)
    assert torch.equal(encoder(inputs()), build("late")(inputs()))


def test_a_gate_that_begins_at_0_opens():
    recommender = model(item_encoder="gated").train()
    gate = recommender.network.item_encoder.gate
    assert torch.equal(gate, torch.zeros(3, 1, 1))
    optimizer = torch.optim.AdamW(recommender.parameters(), lr=0.01)
    for _ in range(3):
        sum(recommender.calculate_loss(windows([1, 2, 3, 4], [5, 6]))).backward()
        optimizer.step()
    assert (gate != 0).all()
    assert all(p.grad.abs().sum() > 0 for p in recommender.network.item_encoder.heads.parameters())


def test_late_sources_do_not_exchange_anything():
    encoder = build("late")
    changed = inputs() | {"text": inputs(seed=1)["text"]}
    before, after = encoder(inputs()), encoder(changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("name", ["sum", "concat"])
def test_fusing_encoders_have_one_branch_that_reads_all(name):
    encoder = build(name)
    assert encoder.branches == ["all"]
    for source in SOURCES:
        changed = inputs() | {source: inputs(seed=1)[source]}
        assert not torch.allclose(encoder(inputs()), encoder(changed))
