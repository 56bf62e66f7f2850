"""RecBole's models run on this package's dataset as they do on RecBole's own."""

import pytest
import torch
from recbole.data import data_preparation
from recbole.utils import get_model, init_seed

from tests.data.builders import config, ours, recboles, write_inter, write_vectors


@pytest.mark.parametrize("model", ["SASRec", "BERT4Rec", "GRU4Rec", "FEARec", "FPMC"])
def test_a_builtin_model_sees_the_same_batches(model):
    write_vectors(write_inter() / "tiny.text.safetensors")
    losses = []
    for make in (ours, recboles):
        longer = {"model": model, "MAX_ITEM_LIST_LENGTH": 10}
        settings = config(**longer)
        init_seed(3, True)
        train, _, _ = data_preparation(settings, make(modalities=["text"], **longer))
        network = get_model(model)(settings, train.dataset).eval()
        torch.manual_seed(3)
        losses.append(torch.stack([network.calculate_loss(batch) for batch in train]))
    torch.testing.assert_close(*losses, rtol=0, atol=0, equal_nan=True)
