"""Every built-in sequential model trains an epoch and is evaluated, with all fixes."""

import pkgutil

import pytest
import recbole.model.sequential_recommender as package
from recbole.quick_start import run_recbole

from tests.integration.builders import SMALL, write_dataset

LEFT_OUT = {
    "gru4reccpr": "refuses predict(), with which RecBole counts its operations",
    "sasreccpr": "refuses predict(), with which RecBole counts its operations",
    "gru4reckg": "needs a knowledge graph's embeddings",
    "ksr": "needs a knowledge graph's embeddings",
    "s3rec": "is trained in two stages",
}
FIELDS = {"inter": ["user_id", "item_id", "rating", "timestamp"], "item": ["item_id", "class"]}
OWN = {
    "fdsa": {"selected_features": ["class"]},
    "gru4recf": {"selected_features": ["class"]},
    "sasrecf": {"selected_features": ["class"]},
}
MODULES = [module.name for module in pkgutil.iter_modules(package.__path__)]
MODELS = {
    kind.__name__
    for kind in vars(package).values()
    if isinstance(kind, type) and kind.__name__.lower() in {*MODULES} - {*LEFT_OUT}
}


@pytest.mark.parametrize("model", sorted(MODELS))
def test_one_epoch(model):
    write_dataset()
    settings = {**SMALL, "load_col": FIELDS, "hidden_size": 64, "embedding_size": 64}
    settings |= OWN.get(model.lower(), {})
    result = run_recbole(model, "small", config_dict=settings)
    assert 0 <= result["test_result"]["ndcg@5"] <= 1


def test_no_model_is_forgotten():
    assert {model.lower() for model in MODELS} | LEFT_OUT.keys() == {*MODULES}
