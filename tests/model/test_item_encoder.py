"""What every item encoder must do, and what the ID mask of the IMT promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.model.item_encoder import ITEM_ENCODERS, SourceTokens
from tests.model.builders import config

SOURCES = ["id", "text", "image"]


def build(name, **options):
    torch.manual_seed(0)
    encoder = ITEM_ENCODERS[name](config(**options), SOURCES).eval()
    for parameter in encoder.parameters():  # large weights, so that a leak would show
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def inputs(n_items=4, n_tokens=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = {
        name: SourceTokens(
            torch.randn(n_items, n_tokens, 8, generator=generator),
            torch.ones(n_items, n_tokens, dtype=torch.bool),
        )
        for name in ("text", "image")
    }
    made["id"] = SourceTokens(
        torch.randn(n_items, 1, 8, generator=generator), torch.ones(n_items, 1, dtype=torch.bool)
    )
    return made


@pytest.fixture(params=sorted(ITEM_ENCODERS))
def encoder(request):
    return build(request.param)


def test_one_vector_for_each_branch(encoder):
    assert encoder(inputs()).shape == (len(encoder.branches), 4, 8)


def test_items_do_not_see_one_another(encoder):
    some = {name: SourceTokens(s.tokens[1:2], s.mask[1:2]) for name, s in inputs().items()}
    torch.testing.assert_close(encoder(inputs())[:, 1:2], encoder(some))


@pytest.mark.parametrize("n_tokens", [1, 3])
def test_a_masked_token_is_never_read(encoder, n_tokens):
    original = inputs(n_tokens=n_tokens)
    changed = dict(original)
    if n_tokens > 1:
        mask = original["text"].mask.clone()
        mask[:, -1] = False
        original["text"] = original["text"]._replace(mask=mask)
        tokens = original["text"].tokens.clone()
        tokens[:, -1] = 99.0
        changed["text"] = SourceTokens(tokens, mask)
    torch.testing.assert_close(encoder(original), encoder(changed))


@pytest.mark.parametrize("source", SOURCES[1:])
def test_an_item_without_a_source_keeps_its_other_vectors_finite_and_apart(encoder, source):
    missing = inputs()
    missing[source] = missing[source]._replace(mask=torch.zeros(4, 3, dtype=torch.bool))
    output = encoder(missing)
    assert torch.isfinite(output).all()
    assert not torch.allclose(output[:, 0], output[:, 1])


def test_an_item_without_any_modality_is_finite(encoder):
    missing = inputs()
    for source in ("text", "image"):
        missing[source] = missing[source]._replace(mask=torch.zeros(4, 3, dtype=torch.bool))
    tokens = [source.tokens.requires_grad_() for source in missing.values()]
    output = encoder(missing)
    assert torch.isfinite(output).all()
    gradients = torch.autograd.grad(output.square().sum(), tokens)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["imt", "late"])
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
    changed = original | {source: SourceTokens(original[source].tokens + noise, mask)}
    others = [n for n, branch in enumerate(SOURCES) if branch != source]
    torch.testing.assert_close(encoder(original)[others], encoder(changed)[others])


def test_with_the_id_mask_text_and_image_do_not_move_when_every_id_changes():
    encoder = build("imt")
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
