import copy
import pickle

import numpy as np
import pytest
import torch

from recbole_mmdistill.data.interaction import Histories, HistoryInteraction


@pytest.fixture
def rows():
    """Three rows over the flat items 11, 12, 13, 21, 22."""
    flat = {"item_list": torch.tensor([11, 12, 13, 21, 22]), "time_list": torch.arange(5.0)}
    columns = {"item": torch.tensor([12, 13, 22]), "length": torch.tensor([1, 2, 1])}
    return HistoryInteraction(columns, torch.tensor([0, 0, 3]), "length", Histories(flat, 3))


def test_lists_are_cut_from_the_flat_order(rows):
    assert rows["item_list"].tolist() == [[11, 0, 0], [11, 12, 0], [21, 0, 0]]
    assert rows["time_list"].tolist() == [[0, 0, 0], [0, 1, 0], [3, 0, 0]]


@pytest.mark.parametrize(
    "index",
    [
        torch.tensor([2, 1]),
        np.array([2, 1]),
        [2, 1],
        range(2, 0, -1),
        torch.tensor([False, True, True]),
        slice(1, 3),
    ],
    ids=lambda index: type(index).__name__,
)
def test_a_selection_cuts_the_same_lists(rows, index):
    selection = rows[index]
    positions = torch.arange(3)[torch.tensor(list(index)) if isinstance(index, range) else index]
    assert torch.equal(selection["item_list"], rows["item_list"][positions])
    assert torch.equal(selection["item"], rows["item"][positions])
    assert len(selection) == 2


def test_one_row_has_all_fields(rows):
    row = rows[1]
    assert {field: row[field].tolist() for field in row} == {
        "item": [13],
        "length": [2],
        "item_list": [[11, 12, 0]],
        "time_list": [[0, 1, 0]],
    }


def test_sorting_takes_the_histories_along(rows):
    assert rows["item_list"].tolist()[1] == [11, 12, 0]
    rows.sort("length")
    assert rows["item"].tolist() == [12, 22, 13]
    assert rows["item_list"].tolist() == [[11, 0, 0], [21, 0, 0], [11, 12, 0]]


def test_shuffling_takes_the_histories_along(rows):
    history_of = dict(zip(rows["item"].tolist(), rows["item_list"].tolist()))
    rows.shuffle()
    assert dict(zip(rows["item"].tolist(), rows["item_list"].tolist())) == history_of


def test_dropped_columns_are_gone(rows):
    rows.drop("time_list")
    rows.drop("item")
    assert list(rows) == ["length", "item_list"] == rows.columns
    assert "time_list" not in rows[[0, 1]]
    with pytest.raises(KeyError):
        rows["time_list"]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda rows: pickle.loads(pickle.dumps(rows))])
def test_copies_are_the_same(rows, again):
    twin = again(rows)
    assert twin is not rows
    for field in rows:
        assert torch.equal(twin[field], rows[field])


def test_what_recbole_does_with_a_batch_materialises_it(rows):
    assert rows.to("cpu")["item_list"].tolist() == rows["item_list"].tolist()
    assert rows.cpu()["time_list"].shape == (3, 3)
    assert rows.numpy()["item_list"].tolist() == rows["item_list"].tolist()
    assert rows.repeat(2)["item_list"].shape == (6, 3)
    assert rows.repeat_interleave(2)["item_list"].tolist()[:2] == [[11, 0, 0], [11, 0, 0]]


def test_fields_are_attributes_too(rows):
    assert rows.item_list.shape == (3, 3)
    with pytest.raises(AttributeError, match="picture"):
        rows.picture  # noqa: B018
