"""What is drawn from this package's dataset is what RecBole's own holds, to the last bit."""

import pytest
import torch

from tests.data.builders import INTERACTIONS, ours, recboles, write_inter

SPLITS = {
    "LS": {"LS": "valid_and_test"},
    "LS valid": {"LS": "valid_only"},
    "LS test": {"LS": "test_only"},
    "RS": {"RS": [0.6, 0.2, 0.2]},
    "TS": {"TS": [0.6, 0.2, 0.2]},
}


def assert_same_rows(mine, theirs, fields=None):
    assert len(mine.inter_feat) == len(theirs)
    if len(theirs) == 0:
        return
    drawn = mine.inter_feat.materialise() if fields is None else mine.inter_feat
    for field in fields or theirs.inter_feat:
        expected = theirs.inter_feat[field]
        assert torch.equal(drawn[field], expected), field
        assert drawn[field].dtype == expected.dtype, field


@pytest.mark.parametrize("k_core", [None, "[2,inf)"])
@pytest.mark.parametrize("split", SPLITS)
def test_all_rows_are_recboles(split, k_core):
    write_inter()
    evaluation = {"split": SPLITS[split], "group_by": "user", "order": "TO", "mode": "full"}
    settings = {"eval_args": evaluation}
    if k_core:
        settings |= {"user_inter_num_interval": k_core, "item_inter_num_interval": k_core}
    theirs = recboles(**settings)
    mine = ours(model="SASRec", **settings)
    assert mine.field2id_token["item_id"].tolist() == theirs.field2id_token["item_id"].tolist()
    for my_part, their_part in zip(mine.build(), theirs.build()):
        assert_same_rows(my_part, their_part)


def test_a_split_by_ratio_over_all_users_is_recboles():
    write_inter()
    evaluation = {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": None, "order": "TO", "mode": "full"}
    mine, theirs = ours(model="SASRec", eval_args=evaluation), recboles(eval_args=evaluation)
    for my_part, their_part in zip(mine.build(), theirs.build()):
        assert_same_rows(my_part, their_part)


@pytest.mark.parametrize("sequences", ["windows", "prefixes"])
def test_the_plugins_rows_are_recboles_too(sequences):
    write_inter()
    mine = ours(train_sequences=sequences).build()
    theirs = recboles().build()
    fields = ["user_id", "item_id", "item_id_list", "item_length"]
    for my_part, their_part in zip(mine, theirs):
        assert_same_rows(my_part, their_part, fields)


def test_only_what_the_model_reads_is_materialised():
    write_inter()
    _, valid, _ = ours().build()
    assert set(valid[[0]]) == {
        *("user_id", "item_id", "rating", "timestamp"),
        *("item_id_list", "item_length"),
    }


def test_benchmark_files_give_recboles_rows():
    header = "user_id:token item_id_list:token_seq item_id:token\n"
    for part, rows in {
        "train": "u1 a|b c\nu2 c d\n",
        "valid": "u1 a|b|c d\n",
        "test": "u2 c|d|a|b e\n",
    }.items():
        text = "\n".join(
            "\t".join([row.split()[0], " ".join(row.split()[1].split("|")), row.split()[2]])
            for row in (header + rows).splitlines()
        )
        folder = write_inter("", dataset="parts", part=part)
        (folder / f"parts.{part}.inter").write_text(text + "\n")
    settings = {
        "dataset": "parts",
        "benchmark_filename": ["train", "valid", "test"],
        "alias_of_item_id": ["item_id_list"],
        "load_col": {"inter": ["user_id", "item_id_list", "item_id"]},
    }
    mine, theirs = ours(**settings).build(), recboles(**settings).build()
    for my_part, their_part in zip(mine[1:], theirs[1:]):
        assert_same_rows(my_part, their_part, list(their_part.inter_feat))
    batch = mine[0][[0, 1]]
    tokens = mine[0].field2id_token["item_id"]
    assert [[tokens[i] for i in row] for row in batch["item_id_list"]] == [
        ["a", "b"],
        ["c", "[PAD]"],
    ]
    assert [[tokens[i] for i in row] for row in batch["target_item_id_list"]] == [
        ["[PAD]", "c"],
        ["d", "[PAD]"],
    ]


def test_ml_100k_rows_are_recboles():
    settings = {"dataset": "ml-100k", "MAX_ITEM_LIST_LENGTH": 50}
    for my_part, their_part in zip(ours(**settings).build()[1:], recboles(**settings).build()[1:]):
        assert_same_rows(my_part, their_part, ["user_id", "item_id", "item_id_list"])


def test_tokens_that_look_like_numbers_stay_what_they_are():
    write_inter(INTERACTIONS.replace("a ", "1 ").replace("b ", "01 "))
    assert {"1", "01", "007"} <= set(ours().field2id_token["item_id"])


def test_missing_tokens_are_dropped_as_recbole_drops_them():
    write_inter(INTERACTIONS.replace("u3 b", "u3 ").replace("u2 c", " c"))
    mine, theirs = ours(model="SASRec"), recboles()
    assert len(mine.inter_feat) == len(theirs.inter_feat) == 14
    assert mine.field2id_token["item_id"].tolist() == theirs.field2id_token["item_id"].tolist()
