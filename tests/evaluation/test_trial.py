"""A trial of a model of RecBole's own gives the numbers it always gave."""

import numpy as np
import pytest

from recbole_mmdistill.evaluation.trial import run_trial
from recbole_mmdistill.version import BEHAVIOUR, SHARED_BEHAVIOUR, __version__
from tests.test_golden import write_dataset

SETTINGS = {
    "data_path": "dataset/",
    "seed": 7,
    "epochs": 3,
    "train_batch_size": 32,
    "eval_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 8,
    "hidden_size": 16,
    "embedding_size": 16,
    "learning_rate": 0.01,
    "missing_features": {"text": 0.5},
}
# By SHARED_BEHAVIOUR. If a change of these is meant, raise it to a raised BEHAVIOUR, say in
# CHANGELOG.md what changed, and put the new numbers here.
GOLDEN = {
    1: {
        "losses": [37.41747, 36.76054, 36.04358],
        "valid": [0.2413, 0.2183, 0.2412],
        "ndcg": [0.292159, 0.225700],
    }
}


def test_results_of_recboles_models_change_only_with_the_shared_behaviour_number():
    assert SHARED_BEHAVIOUR in GOLDEN and SHARED_BEHAVIOUR <= BEHAVIOUR
    write_dataset()
    record = run_trial("GRU4Rec", "golden", SETTINGS, grouped_by=["text"])
    expected = GOLDEN[SHARED_BEHAVIOUR]
    ndcg = [(1 / np.log2(np.array(record["ranks"][v]) + 1)).mean() for v in ("all", "unseen")]
    assert [epoch["loss"][0] for epoch in record["epochs"]] == pytest.approx(
        expected["losses"], rel=1e-4
    )
    assert [epoch["valid"] for epoch in record["epochs"]] == pytest.approx(
        expected["valid"], abs=1e-4
    )
    assert ndcg == pytest.approx(expected["ndcg"], abs=1e-4)
    assert (record["version"], record["behaviour"]) == (__version__, BEHAVIOUR)
