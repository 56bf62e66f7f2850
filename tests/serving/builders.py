"""Checkpoints of tiny models whose weights are drawn: their scores differ in every part."""

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer

from recbole_mmdistill.features import FeatureInfo, write_features
from tests.integration.builders import SMALL, write_dataset

MODELS = {
    "three branches": ("IDMMDistill", {"modalities": ["text", "image"]}),
    "shared user encoder": ("IDMMDistill", {"user_encoder": "shared"}),
    "one fused branch": ("IDMMDistill", {"item_encoder": "concat"}),
    "ID alone, no repeat bias": ("IDMMDistill", {"modalities": [], "repeat_bias": False}),
    "ID is no source": ("IDMMDistill", {"use_id": False, "sequence_encoder": "nextitnet"}),
    "unequal widths": (
        "IDMMDistill",
        {"modalities": ["text", "image"], "branch_width": {"text": 12}, "imt_width": 6},
    ),
    "unequal widths, shared user encoder": (
        "IDMMDistill",
        {"branch_width": {"text": 12}, "user_encoder": "shared"},
    ),
    "features held back": ("IDMMDistill", {"missing_features": {"text": 0.5}}),
    "SASRec": ("SASRec", {}),
    "GRU4Rec": ("GRU4Rec", {}),
}


def write_files():
    """The dataset ``small`` with features of text and image."""
    write_dataset()
    values = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(1))
    tokens = [f"i{item}" for item in range(10)]  # i10 to i14 have no picture
    info = FeatureInfo("image", encoder="numbers")
    write_features("dataset/small/small.image.safetensors", values, tokens, info)


def save_checkpoint(name="three branches", seed=0, **settings):
    """Write a checkpoint of one of :data:`MODELS`; its path, and the model that it is of."""
    model, given = MODELS[name]
    settings = {**SMALL, **given, **settings}
    config = Config(model=model, dataset="small", config_dict=settings)
    train_data, _, _ = data_preparation(config, create_dataset(config))
    torch.manual_seed(seed)
    network = get_model(model)(config, train_data.dataset)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    trainer.eval_collector.data_collect(train_data)  # as every fit begins
    trainer._save_checkpoint(0, verbose=False)
    return trainer.saved_model_file, network.eval()


def predict(model, histories):
    """Scores of all items by RecBole's own way, of histories of item numbers."""
    sequences = [torch.tensor(history) for history in histories]
    interaction = Interaction(
        {
            "item_id_list": torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True),
            "item_length": torch.tensor([len(history) for history in histories]),
        }
    )
    with torch.no_grad():
        return model.full_sort_predict(interaction).numpy()
