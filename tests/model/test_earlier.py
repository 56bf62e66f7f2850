"""Checkpoints in which each branch's layers stand by themselves are still loaded."""

import pytest
import torch

from recbole_mmdistill.model import SEQUENCE_ENCODERS
from tests.model.builders import model, prefixes


def as_before(recommender):
    """The state of a model as it was kept up to behaviour 1."""
    state = {}
    for name, tensor in recommender.state_dict().items():
        separator = "/" if "/" in name else "."
        encoder = separator.join(["user_encoder", "encoders", "0", ""])
        heads = separator.join(["item_encoder", "heads", ""])
        if encoder in name:
            n = len(recommender.network.user_encoder.groups)
            parts = tensor.unflatten(0, (n, -1))
            if "convolutions" not in name:
                parts = parts[:, 0]
            for number, part in enumerate(parts):
                of_group = encoder.replace("0", str(number))
                state[name.replace(encoder, of_group)] = part
        elif heads in name:
            for source, part in zip(recommender.branches, tensor):
                state[name.replace(heads, heads + source + separator)] = part
        else:
            state[name] = tensor
    return state


@pytest.mark.parametrize("encoder", sorted(SEQUENCE_ENCODERS))
@pytest.mark.parametrize("user_encoder", ["separate", "shared", "id_apart"])
def test_it_scores_as_it_did(encoder, user_encoder):
    options = {"sequence_encoder": encoder, "user_encoder": user_encoder}
    trained, fresh = model(seed=1, **options), model(seed=2, **options)
    state = as_before(trained)
    assert state.keys() != trained.state_dict().keys()
    assert "network.item_encoder.heads.text.0.weight" in state
    fresh.load_state_dict(state)
    batch = prefixes([1, 2, 3, 4])
    with torch.no_grad():
        assert torch.equal(fresh.full_sort_predict(batch), trained.full_sort_predict(batch))
