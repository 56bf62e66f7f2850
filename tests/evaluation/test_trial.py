"""What a trial leaves, and that one of RecBole's own models gives the numbers it always gave."""

import numpy as np
import pytest

from recbole_mmdistill.evaluation.ranking import ndcg
from recbole_mmdistill.evaluation.store import Store
from recbole_mmdistill.evaluation.trial import run_trial
from recbole_mmdistill.version import BEHAVIOUR, SHARED_BEHAVIOUR, __version__
from tests.test_golden import N_ITEMS, N_USERS, write_dataset

SETTINGS = {
    "data_path": "dataset/",
    "seed": 7,
    "epochs": 3,
    "train_batch_size": 32,
    "eval_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 8,
    "hidden_size": 16,
    "embedding_size": 16,
    "inner_size": 32,
    "learning_rate": 0.01,
}
# By SHARED_BEHAVIOUR. If a change of these is meant, raise it to a raised BEHAVIOUR, say in
# CHANGELOG.md what changed, and put the new numbers here.
GOLDEN = {
    1: {
        "losses": [37.41747, 36.76054, 36.04358],
        "valid": [0.2413, 0.2183, 0.2412],
        "ndcg": [0.130544, 0.031419],
    }
}


def test_results_of_recboles_models_change_only_with_the_shared_behaviour_number():
    assert SHARED_BEHAVIOUR in GOLDEN and SHARED_BEHAVIOUR <= BEHAVIOUR
    write_dataset()
    record = run_trial("GRU4Rec", "golden", SETTINGS, grouped_by=["text"])
    expected = GOLDEN[SHARED_BEHAVIOUR]
    found = [ndcg(np.array(record["ranks"][name])).mean() for name in ("all", "unseen")]
    assert [epoch["loss"][0] for epoch in record["epochs"]] == pytest.approx(
        expected["losses"], rel=1e-4
    )
    assert [epoch["valid"] for epoch in record["epochs"]] == pytest.approx(
        expected["valid"], abs=1e-4
    )
    assert found == pytest.approx(expected["ndcg"], abs=1e-4)
    assert (record["version"], record["behaviour"]) == (__version__, BEHAVIOUR)


def test_without_variants_a_trial_ranks_unseen_items_alone():
    write_dataset()
    settings = {**SETTINGS, "modalities": ["text"]}
    whole = run_trial("IDMMDistill", "golden", settings)
    brief = run_trial("IDMMDistill", "golden", settings, with_variants=False)
    assert brief["ranks"] == {"unseen": whole["ranks"]["unseen"]}


@pytest.mark.parametrize("model", ["IDMMDistill", "ODMT"])
def test_a_trials_ranks_give_the_metrics_of_recboles_evaluator(model):
    write_dataset()
    store = Store("trials")
    settings = {**SETTINGS, "modalities": ["text"]}
    record = run_trial(model, "golden", settings, ["text"], store)
    ndcg_by_row = ndcg(np.array(record["ranks"]["all"]))
    assert ndcg_by_row.mean() == pytest.approx(record["test"]["ndcg@10"], abs=1e-4)
    assert set(record["ranks"]) == {"all", "id", "text", "unseen"}
    rows = store.read_rows(record["rows"])
    assert len(rows.users) == len(ndcg_by_row) == N_USERS
    for epoch in record["epochs"]:
        watched = epoch["branches"]
        for branch in ("id", "text"):  # no branch is left untrained
            assert watched[f"gradient_norm/{branch}"] > 0
            assert 0 < watched[f"loss/{branch}"] < np.log(2 * N_ITEMS)
        assert {"kl/id-text", "kl/text-id", "overlap@10/id-text", "taught/mean-id"} <= set(watched)
