"""Runs under settings of RecBole that are seldom used end as RecBole's own do."""

import math

import pytest
from recbole.quick_start import run_recbole

from recbole_mmdistill import pipeline
from recbole_mmdistill.errors import UserError
from tests.integration.builders import N_USERS, SMALL, write_dataset

RANKING = [
    *("Recall", "MRR", "NDCG", "Hit", "MAP", "Precision", "GAUC", "ItemCoverage"),
    *("AveragePopularity", "GiniIndex", "ShannonEntropy", "TailPercentage"),
]
ITEM_COLUMNS = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "item": ["item_id", "class"],
}


def run(model="IDMMDistill", saved=True, split=None, mode="full", **settings):
    write_dataset()
    plan = {
        "split": split or {"LS": "valid_and_test"},
        "order": "TO",
        "group_by": "user",
        "mode": mode,
    }
    loads = {"IDMMDistill": {}, "SASRecF": {"selected_features": ["class"]}}
    config = {**SMALL, "epochs": 2, "eval_args": plan, **loads.get(model, {}), **settings}
    return run_recbole(model, "small", config_dict=config, saved=saved)


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_every_metric_of_ranking_is_computed(mode):
    result = run(metrics=RANKING, mode=mode)["test_result"]
    assert {name.partition("@")[0] for name in result} == {name.lower() for name in RANKING}
    assert all(math.isfinite(value) for value in result.values())


@pytest.mark.parametrize("saved", [True, False])
def test_without_validation_all_epochs_are_trained_and_the_last_is_tested(saved, caplog):
    caplog.set_level("WARNING")
    result = run(split={"LS": "test_only"}, mode="pop5", saved=saved)
    assert result["best_valid_result"] is None
    assert set(result["test_result"]) == {"ndcg@5", "hit@5"}
    assert "no rows for validation" in caplog.text


@pytest.mark.parametrize(("model", "rows"), [("IDMMDistill", N_USERS), ("SASRec", N_USERS * 8)])
def test_a_split_may_give_all_rows_to_training(model, rows):
    write_dataset()
    plan = {"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": "user", "mode": "full"}
    only = {} if model == "IDMMDistill" else {"train_neg_sample_args": None}
    settings = {**SMALL, "epochs": 2, "eval_args": plan, **only}
    found = pipeline.run(model, "small", settings)
    parts = found.train_data, found.valid_data, found.test_data
    assert [len(part.dataset) for part in parts] == [rows, 0, 0]  # whole histories, or targets
    assert found.epochs == 2 and found.best_valid == found.test == found.branches == {}
    assert found.checkpoint.is_file()


def test_labelled_rows_are_measured_by_metrics_of_labels():
    settings = {"threshold": {"rating": 3}, "load_col": ITEM_COLUMNS, "metrics": ["AUC"]}
    result = run(mode="labeled", valid_metric="AUC", split={"RS": [2, 3, 3]}, **settings)
    assert 0 <= result["test_result"]["auc"] <= 1


def test_labels_that_are_all_alike_are_refused_for_auc():
    settings = {"threshold": {"rating": 0}, "load_col": ITEM_COLUMNS, "metrics": ["AUC"]}
    with pytest.raises(UserError, match="all rows for valid have the label 1"):
        run(mode="labeled", valid_metric="AUC", **settings)


def test_labelled_rows_without_a_label_are_refused():
    with pytest.raises(UserError, match="no column label"):
        run(mode="labeled", metrics=["AUC"], valid_metric="AUC")


def test_a_builtin_model_of_item_columns_is_sampled_too():
    assert run("SASRecF", mode="uni5", load_col=ITEM_COLUMNS, modalities=None)["test_result"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"train_neg_sample_args": {"distribution": "uniform"}}, "train_neg_sample_args"),
        ({"transform": "inverse_itemseq"}, "transform"),
    ],
)
def test_what_the_plugins_training_ignores_is_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        run(**wrong)
