"""Time order is exact, for every sequential model."""

from pathlib import Path

import pandas as pd
import pytest
from recbole.data.dataset import SequentialDataset

from tests.data.builders import config, ours, write_inter


def true_last_items():
    import recbole

    path = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    frame = pd.read_csv(path, sep="\t", dtype=str).rename(columns=lambda c: c.partition(":")[0])
    frame["timestamp"] = frame["timestamp"].astype(float)
    frame = frame.sort_values("timestamp", kind="stable")
    return dict(frame.groupby("user_id")["item_id"].last())


@pytest.mark.parametrize("normalize_all", [False, True])
@pytest.mark.parametrize("make", [SequentialDataset, ours], ids=["RecBole's", "ours"])
def test_the_test_item_is_the_last_one_for_943_of_943_users(make, normalize_all):
    settings = {"dataset": "ml-100k", "normalize_all": normalize_all}
    dataset = ours(**settings) if make is ours else make(config(model="SASRec", **settings))
    test = dataset.build()[2]
    users, items = (test.field2id_token[field] for field in ("user_id", "item_id"))
    found = {
        users[user]: items[item]
        for user, item in zip(test.inter_feat["user_id"], test.inter_feat["item_id"])
    }
    expected = true_last_items()
    assert len(found) == 943
    assert sum(found[user] == expected[user] for user in expected) == 943


@pytest.mark.parametrize("normalize_all", [False, True])
def test_seconds_that_float32_would_merge_keep_their_order(normalize_all):
    header = "user_id:token item_id:token rating:float timestamp:float\n"
    rows = [("d", 4), ("a", 1), ("c", 3), ("b", 2)]
    write_inter(header + "".join(f"u {item} 1 {1_500_000_000 + at}\n" for item, at in rows))
    settings = config(model="SASRec", normalize_all=normalize_all)
    dataset = SequentialDataset(settings)
    test = dataset.build()[2]
    tokens = test.field2id_token["item_id"]
    assert tokens[test.inter_feat["item_id"][0]] == "d"
    assert tokens[test.inter_feat["item_id_list"][0]].tolist() == ["a", "b", "c"]


def test_models_still_read_float32():
    write_inter()
    test = SequentialDataset(config(model="SASRec")).build()[2]
    assert str(test.inter_feat["timestamp"].dtype) == "torch.float32"
    assert str(test.inter_feat["timestamp_list"].dtype) == "torch.float32"
