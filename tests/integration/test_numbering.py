"""Whatever becomes of the data, each token keeps what was learned of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.quick_start import load_data_and_model, run_recbole

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import FeatureInfo, write_features
from tests.integration.builders import N_ITEMS, SMALL, write_dataset

INTER = Path("dataset/small/small.inter")
ITEMS = [f"i{n}" for n in range(N_ITEMS)]
NEW = [f"{user}\tnew{n % 2}\t5\t{1_400_000_000 + n}" for n, user in enumerate(["u0", "u1", "v0"])]
NEW += [f"v0\ti{n}\t5\t{1_400_000_100 + n}" for n in range(5)]


def trained(model, **settings):
    write_dataset()
    run_recbole(model, "small", config_dict={**SMALL, **settings})
    (path,) = Path("saved").glob(f"{model}-*.pth")
    return str(path)


def change(edit):
    header, *rows = INTER.read_text().splitlines()
    INTER.write_text("\n".join([header, *edit(rows)]) + "\n")


@torch.no_grad()
def scores(path, history=("i3", "i4", "i5")):
    """Each item's score after a history, by token; and the loaded model and dataset."""
    _, model, dataset, *_ = load_data_and_model(path)
    ids = [int(n) for n in dataset.token2id("item_id", list(history))]
    row = torch.tensor([ids + [0] * (10 - len(ids))])
    batch = {"item_id_list": row, "item_length": torch.tensor([len(ids)])}
    found = model.eval().full_sort_predict(Interaction(batch))[0].tolist()
    return dict(zip(dataset.field2id_token["item_id"].tolist(), found)), model, dataset


def same_scores(before, after):
    known = [item for item in ITEMS if item in before]
    expected = pytest.approx([before[item] for item in known], rel=1e-4, abs=1e-5)
    assert [after[item] for item in known] == expected


@pytest.mark.parametrize("model", ["IDMMDistill", "SASRec", "GRU4Rec", "BERT4Rec"])
def test_items_keep_their_scores_in_another_order_and_when_there_are_more(model):
    settings = {"mask_ratio": 0.5, "n_heads": 1} if model == "BERT4Rec" else {}
    path = trained(model, **settings)
    before, *_ = scores(path)
    change(lambda rows: rows[::-1])
    reordered, *_ = scores(path)
    same_scores(before, reordered)
    change(lambda rows: [*NEW, *rows])  # first in the file: two new items and a new user
    grown, _, dataset = scores(path)
    same_scores(before, grown)
    assert dataset.item_num == N_ITEMS + 3 and dataset.user_num == 12 + 2
    assert set(grown) - set(before) == {"new0", "new1"}


def test_users_keep_their_rows():
    path = trained("BPR", eval_args={"order": "RO", "split": {"RS": [8, 1, 1]}, "mode": "full"})

    def vectors():
        _, model, dataset, *_ = load_data_and_model(path)
        users = dataset.token2id("user_id", ["u0", "u5", "u11"])
        return model.user_embedding.weight[torch.from_numpy(users)]

    before = vectors()
    change(lambda rows: [*NEW, *rows[::-1]])
    assert torch.equal(before, vectors())


def test_an_item_that_is_gone_leaves_the_others_as_they_were():
    path = trained("SASRec")
    before, *_ = scores(path)
    change(lambda rows: [row for row in rows if "\ti9\t" not in row])
    same_scores(before, scores(path)[0])


def test_new_items_enter_as_items_that_training_never_saw():
    path = trained("IDMMDistill")
    values = torch.randn(N_ITEMS, 1, 4, generator=torch.Generator().manual_seed(0))
    features = Path("dataset/small/small.text.safetensors")
    same_as_i3 = torch.cat([values, values[3:4]])
    write_features(features, same_as_i3, [*ITEMS, "new0"], FeatureInfo("text", encoder="numbers"))
    change(lambda rows: [*NEW, *rows])
    _, model, dataset = scores(path)
    new0, new1, i3 = (int(n) for n in dataset.token2id("item_id", ["new0", "new1", "i3"]))
    assert model.branches == ["id", "text"]
    has_id, has_text = model._present[:, [new0, new1, i3]].tolist()
    assert has_id == [False, False, True] and has_text == [True, False, True]
    assert model.train_count[[new0, new1]].tolist() == [0, 0]
    with model.scoring_with(["text"]):
        table = model.score_table()
    assert table[new0].tolist() == pytest.approx(table[i3].tolist(), abs=1e-5)


def test_features_of_another_encoder_are_refused_and_changed_ones_are_said(caplog):
    path = trained("IDMMDistill")
    features = Path("dataset/small/small.text.safetensors")
    values = torch.randn(N_ITEMS, 1, 4, generator=torch.Generator().manual_seed(0))
    values[2] += 1
    write_features(features, values, ITEMS, FeatureInfo("text", encoder="numbers"))
    with caplog.at_level("WARNING"):
        load_data_and_model(path)
    assert "1 of 15 items have other features" in caplog.text
    write_features(features, -values, ITEMS, FeatureInfo("text", encoder="numbers"))
    with pytest.raises(UserError, match="text features of all 15 items are other ones"):
        load_data_and_model(path)


def test_a_model_that_cannot_grow_says_so():
    path = trained("EASE")
    load_data_and_model(path)
    change(lambda rows: [*rows, *NEW])
    with pytest.raises(UserError, match="EASE keeps more for each token"):
        load_data_and_model(path)


def test_tokens_are_not_taken_for_one_another():
    """Beside ids, every other token field has an embedding: classes in another order."""
    fields = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    path = trained("SASRecF", load_col=fields, selected_features=["class"])
    before, *_ = scores(path)
    items = Path("dataset/small/small.item")
    header, *rows = items.read_text().splitlines()
    items.write_text("\n".join([header, *rows[::-1]]) + "\n")
    after, _, dataset = scores(path)
    same_scores(before, after)
    assert dataset.field2id_token["class"].tolist() == ["[PAD]", "c0", "c1"]
    assert np.array_equal(dataset.token2id("class", ["c0", "c1"]), [1, 2])
