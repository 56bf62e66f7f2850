"""All settings are checked together, and everything wrong is said at once."""

import pytest
from recbole.config import Config

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import COMMAND_LINE, DERIVED, check_settings
from tests.integration.builders import SMALL, write_dataset


def said(model="IDMMDistill", dataset="shop", **settings):
    """What is wrong with settings of a file; empty if nothing is."""
    try:
        check_settings(model, dataset, [("plan.yaml", settings)])
    except UserError as error:
        return error.what
    return ""


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("epochs", "ten", "a whole number, 0 or more"),
        ("epochs", True, "a whole number"),
        ("epochs", 2.0, "a whole number"),
        ("hidden_size", "abc", "a whole number or one of auto, 1 or more"),
        ("learning_rate", 0, "above 0"),
        ("learning_rate", float("nan"), "not finite"),
        ("kd_weight", "2024-13-45", "a number"),
        ("seed", -1, "from 0 to 4294967295"),
        ("seed", [10**5000], "64 bits"),
        ("item_encoder", "imtt", "near it: imt"),
        ("learner", "adamm", "near it: adam"),
        ("metrics", ["NDGC"], "near it: NDCG"),
        ("topk", [], "one or more"),
        ("topk", [5, 0], "1 or more"),
        ("valid_metric", "NDCG@7", "is not computed"),
        ("valid_metric", "NDCG", "is not computed"),
        ("data_path", "a\0b", "no text can have"),
        ("data_path", "\udcff", "no text can have"),
        ("data_path", "", "a text"),
        ("eval_args", "xx", "a mapping"),
        ("eval_args", {"splt": {}}, "near it: split"),
        ("eval_args", {"split": {"XX": [1]}}, "'XX', not one of RS, LS, TS"),
        ("eval_args", {"split": {"RS": [0, 0, 0]}}, "RS of split"),
        ("eval_args", {"split": {"LS": "test"}}, "valid_and_test"),
        ("eval_args", {"order": "XO"}, "RO, TO"),
        ("eval_args", {"order": "RO", "split": {"RS": [8, 1, 1]}}, "sequential models need 'TO'"),
        ("eval_args", {"mode": "uni0", "order": "TO"}, "uni100"),
        ("eval_args", {"mode": {"vald": "full"}, "order": "TO"}, "near it: valid"),
        ("train_neg_sample_args", {"distribution": "zipf"}, "uniform, popularity"),
        ("load_col", {"intr": ["a"]}, "near it: inter"),
        ("load_col", {"inter": "user_id"}, "a list"),
        ("user_inter_num_interval", "5 or more", "[5,inf)"),
        ("val_interval", {"rating": "[5"}, "[5,inf)"),
        ("clip_grad_norm", {"max_nrm": 1}, "near it: max_norm"),
        ("benchmark_filename", ["train", "../test"], "a word without /"),
        ("additional_feat_suffix", "../ent", "a word without /"),
        ("modalities", ["a/b"], "a word without /"),
        ("feature_path", 5, "a text or a mapping"),
        ("feature_path", {"text": 5}, "a text"),
        ("missing_features", {"text": 1.5}, "from 0 to below 1"),
        ("missing_from", "head", "all, tail"),
        ("cold_item_ratio", -1, "from 0 to below 1"),
        ("popularity_skew", "much", "a number"),
        ("branch_weights", {"id": -1}, "0 or more"),
        ("kd_pairs", [["id", "txt"]], "the sources are id, text"),
        ("kd_pairs", [[{}, 1]], "[teacher, student]"),
        ("gpu_id", "abc", "0,1"),
        ("gpu_id", [0, 1], "0,1"),
        ("encoding", "hex", "an encoding of texts"),
        ("encoding", "os.path", "an encoding of texts"),
        ("teacher", "open('x')", "CrossNet, CIN"),
        ("hidden_size", 7, "a multiple of n_heads"),
        ("branch_width", "wide", "auto, a whole number, or a mapping"),
        ("branch_width", 0, "1 or more"),
        ("branch_width", {"text": 1.5}, "a whole number"),
        ("branch_width", {"text": 7}, "branch_width of text 7 is not a multiple of n_heads"),
        ("branch_width", {"txt": 8}, "the sources are id, text"),
        ("imt_width", 7, "a multiple of imt_heads"),
        ("repeatable", False, "sequential models need True"),
        ("metrics", ["AUC", "NDCG"], "mixes"),
        ("normalize_field", ["rating"], "does not go with normalize_all"),
        ("kd_wieght", 9, "no option 'kd_wieght' for IDMMDistill; near it: kd_weight"),
        ("MODEL_TYPE", 1, "cannot be set"),
    ],
)
def test_what_cannot_be_is_refused_with_its_source_and_what_can(name, value, right):
    message = said(dataset="ml-100k", **{name: value})
    assert name in message and right in message and "plan.yaml" in message
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1, "weight_decay": 0},
        {"metrics": "ndcg", "topk": 5, "valid_metric": "NDCG@5"},
        {"metrics": ["GAUC"], "valid_metric": "GAUC"},
        {"learner": "Adam", "state": "DEBUG", "gpu_id": "0,1"},
        {"gpu_id": ""},
        {"gpu_id": (0, 1)},
        {"eval_args": {"order": "TO", "split": {"TS": [0.8, 0.1, 0.1]}, "group_by": None}},
        {"eval_args": {"order": "TO", "mode": {"valid": "uni100", "test": "full"}}},
        {"user_inter_num_interval": "[5,10];(20,inf)", "item_inter_num_interval": [5, 10]},
        {"val_interval": {"rating": "[3,inf)", "class": ["a", "b"]}},
        {"modalities": "text", "kd_pairs": None, "branch_weights": {"id": 1}},
        {"load_col": None, "train_neg_sample_args": None, "benchmark_filename": ["a", "b"]},
        {"branch_width": {"id": 64, "text": 256}, "imt_width": 32},
        {"branch_width": "auto"},
        {"branch_width": 128},
        {"clip_grad_norm": {"max_norm": 5, "norm_type": 2}},
    ],
)
def test_what_can_be_is_taken(settings):
    assert said(**settings) == ""


def test_all_faults_are_said_at_once_each_with_its_source():
    with pytest.raises(UserError) as refused:
        check_settings(
            "SASRec", "shop", [("a.yaml", {"epochs": "ten"}), (COMMAND_LINE, {"topk": "x"})]
        )
    assert "a.yaml: epochs is 'ten'" in refused.value.what
    assert "the command line: topk is 'x'" in refused.value.what


@pytest.mark.parametrize(
    ("model", "dataset", "right"),
    [
        ("../pwned", "shop", "no name of a model"),
        ("SASrec", "shop", "near it: SASRec"),
        (5, "shop", "no name of a model"),
        ("SASRec", "/a/folder/shop", "say --data_path=/a/folder --dataset=shop"),
        ("SASRec", "../shop", "no name of a dataset"),
        ("SASRec", "..", "no name of a dataset"),
        ("SASRec", "a\0", "no name of a dataset"),
        ("SASRec", "x" * 300, "no name of a dataset"),
        ("SASRec", 5, "no name of a dataset"),
    ],
)
def test_names_are_names_and_no_paths(model, dataset, right):
    assert right in said(model, dataset)


def test_a_file_may_serve_several_models():
    unread = check_settings("SASRec", "shop", [("both.yaml", {"kd_weight": 1, "n_layers": 1})])
    assert unread == {"both.yaml": ["kd_weight"]}
    assert "kd_weight is 'x'" in said("SASRec", kd_weight="x")
    with pytest.raises(UserError, match="option of IDMMDistill, ODMT, not of SASRec"):
        check_settings("SASRec", "shop", [(COMMAND_LINE, {"kd_weight": 1})])


def test_cross_entropy_draws_no_negatives():
    drawn = {"train_neg_sample_args": {"distribution": "uniform"}}
    assert "the loss CE draws none" in said("SASRec", **drawn)
    assert said("SASRec", loss_type="BPR", **drawn) == ""


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec", "BPR", "DeepFM"])
def test_the_settings_in_force_pass_as_those_of_a_checkpoint(model):
    write_dataset()
    metrics = {"metrics": ["AUC"], "valid_metric": "AUC"} if model == "DeepFM" else {}
    final = Config(model, "small", config_dict={**SMALL, **metrics}).final_config_dict
    kept = {key: value for key, value in final.items() if key not in DERIVED}
    check_settings(model, "small", [("a.pth", kept)])


@pytest.mark.parametrize("option", ["ITEM_LIST_LENGTH_FIELD", "LABEL_FIELD", "TIME_FIELD"])
def test_two_roles_have_two_names(option):
    assert f"{option} is 'item_id', and so is ITEM_ID_FIELD" in said(**{option: "item_id"})


def test_load_col_and_unload_col_of_one_file_do_not_go_together():
    columns = {"inter": ["rating"]}
    assert "unload_col is {'inter': ['rating']}, but load_col" in said(unload_col=columns)
    assert said(unload_col=columns, load_col=None) == ""
