"""Whatever the settings, IDMMDistill sees the rows and targets that RecBole's SASRec sees.

Or both are refused, in the same words.
"""

from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import data_preparation
from recbole.data.dataset import SequentialDataset
from recbole.utils import init_seed

from recbole_mmdistill.data import MultiModalSequentialDataset
from recbole_mmdistill.errors import UserError

PLAIN = ("user_id", "item_id", "timestamp")
OTHER = ("session", "sku", "at")
MAX_LENGTH = 4


def clicks():
    """(user, item, time): users of 1 to 9 clicks, times that float32 would merge, some equal."""
    rng = np.random.default_rng(4)
    sizes = [1, 2, 3, 3, 5, 6, 7, 9]
    users = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    times = 1_500_000_000 + rng.integers(0, 40, len(users))
    return [(f"u{u}", f"i{i}", t) for u, i, t in zip(users, rng.integers(0, 12, len(users)), times)]


def histories():
    """(user, items before, item, place from the end) of each click that has one before it."""
    by_user = {}
    for user, item, _ in sorted(clicks(), key=lambda click: click[2]):
        by_user.setdefault(user, []).append(item)
    for user, items in by_user.items():
        for place in range(1, len(items)):
            yield user, " ".join(items[:place]), items[place], len(items) - place


def write(columns, rows, part=""):
    folder = Path("dataset/tiny")
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in (columns, *rows)]
    (folder / f"tiny{part}.inter").write_text("\n".join(lines) + "\n")


def write_data(layout, names):
    """Write the clicks in a layout; the settings that read it."""
    user, item, time = names
    header = [f"{user}:token", f"{item}:token", f"{time}:float"]
    settings = {"load_col": {"inter": list(names)}}
    kind, *parts = layout.split()
    if kind == "whole":
        write(header, clicks())
    elif kind in ("last", "random"):
        dice = np.random.default_rng(2).integers(0, len(parts), 99)
        left = {}
        for user_token, *_ in clicks():
            left[user_token] = left.get(user_token, 0) + 1
        rows = {part: [] for part in parts}
        ordered = sorted(clicks(), key=lambda click: click[2])
        for n, click in enumerate(ordered):
            left[click[0]] -= 1
            of_end = max(0, len(parts) - 1 - left[click[0]])
            rows[parts[dice[n] if kind == "random" else of_end]].append(click)
        for part in parts:
            write(header, rows[part], f".{part}")
    elif kind == "lists":
        header = [f"{user}:token", f"{item}_list:token_seq", f"{item}:token"]
        for number, part in enumerate(parts):
            of_end = len(parts) - number
            rows = [
                (user, before, item)
                for user, before, item, place in histories()
                if place == of_end or (number == 0 and place > of_end)
            ]
            write(header, rows, f".{part}")
        settings = {
            "load_col": {"inter": [user, f"{item}_list", item]},
            "alias_of_item_id": [f"{item}_list"],
        }
    if parts:
        settings["benchmark_filename"] = parts
    fields = dict(zip(("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"), names))
    return {**settings, **fields}


def loaders(model, make, settings):
    """Its dataloaders, or why there are none."""
    small = {
        **{"train_batch_size": 8, "eval_batch_size": 40, "MAX_ITEM_LIST_LENGTH": MAX_LENGTH},
        **{"topk": [5], "valid_metric": "MRR@5", "use_gpu": False, "data_path": "dataset/"},
    }
    extra = {"modalities": []} if model == "IDMMDistill" else {}
    try:
        plan = Config(model=model, dataset="tiny", config_dict={**small, **extra, **settings})
        return data_preparation(plan, make(plan))
    except UserError as error:
        return str(error).replace(model, "MODEL")


def rows(loader, names):
    """All that a loader gives: users, histories, lengths, items, labels; with a seed of its own."""
    user, item, _ = names
    init_seed(6, True)
    found = []
    for batch, row, positive_user, positive_item in loader:
        fields = [user, f"{item}_list", "item_length", item, "label"]
        found += [batch[field].tolist() for field in fields if field in batch]
        found += [None if part is None else part.tolist() for part in (row, positive_user)]
        found.append(positive_item.tolist())
    return found


def pairs(batches, names):
    """(history, target) of every position that has a target, of rows or of windows."""
    item = names[1]
    for batch in batches:
        item_seq, length = batch[f"{item}_list"].tolist(), batch["item_length"].tolist()
        if f"target_{item}_list" not in batch:
            yield from (
                (tuple(s[:n]), t) for s, n, t in zip(item_seq, length, batch[item].tolist())
            )
            continue
        for history, targets in zip(item_seq, batch[f"target_{item}_list"].tolist()):
            yield from ((tuple(history[: n + 1]), t) for n, t in enumerate(targets) if t)


def assert_windows_cover(windows, full):
    """Each target once, after the end of its history: what a window shows of it."""
    assert sorted(target for _, target in windows) == sorted(target for _, target in full)
    for history, target in windows:
        assert any(row[-len(history) :] == history and t == target for row, t in full)


def assert_same(settings, names=PLAIN):
    theirs = loaders("SASRec", SequentialDataset, settings)
    for train_sequences in ("prefixes", "windows"):
        ours = {**settings, "train_sequences": train_sequences}
        mine = loaders("IDMMDistill", MultiModalSequentialDataset, ours)
        if isinstance(theirs, str):
            assert mine == theirs
            continue
        assert [rows(loader, names) for loader in mine[1:]] == [
            rows(loader, names) for loader in theirs[1:]
        ]
        drawn, full = (list(pairs(loader, names)) for loader in (mine[0], theirs[0]))
        if train_sequences == "prefixes":
            assert sorted(drawn) == sorted(full)
        else:
            assert_windows_cover(drawn, full)
    return theirs


def evaluation(split, mode="full", group_by="user", order="TO"):
    return {"eval_args": {"split": split, "mode": mode, "group_by": group_by, "order": order}}


SPLITS = {
    "LS valid_and_test": ({"LS": "valid_and_test"}, "user"),
    "LS test_only": ({"LS": "test_only"}, "user"),
    "RS of three": ({"RS": [0.6, 0.2, 0.2]}, "user"),
    "RS of two": ({"RS": [8, 2]}, "user"),
    "RS of all users": ({"RS": [0.6, 0.2, 0.2]}, None),
    "RS of all users in two": ({"RS": [0.7, 0.3]}, "none"),
    "RS without validation": ({"RS": [0.9, 0, 0.1]}, "user"),
    "TS": ({"TS": [0.6, 0.2, 0.2]}, "user"),
}
MODES = ["full", "uni5", "pop5", {"valid": "full", "test": "uni5"}, {"valid": "pop5"}]
FILES = [
    *("last train valid test", "last train test", "random train valid test", "random a b"),
    *("lists train valid test", "lists train test"),
]


@pytest.mark.parametrize(
    ("split", "mode", "names"),
    [(*pair, names) for pair, names in zip(product(SPLITS, MODES), cycle([PLAIN, OTHER]))],
    ids=str,
)
def test_one_file(split, mode, names):
    how, group_by = SPLITS[split]
    settings = write_data("whole", names) | evaluation(how, mode, group_by)
    train, valid, test = assert_same(settings, names)
    assert len(train) and len(test)
    without = split in ("LS test_only", "RS of two", "RS of all users in two")
    assert bool(len(valid)) != (without or split == "RS without validation")


@pytest.mark.parametrize(
    ("files", "mode", "names"),
    [(*pair, names) for pair, names in zip(product(FILES, MODES[:3]), cycle([OTHER, PLAIN]))],
    ids=str,
)
def test_files_that_are_split_already(files, mode, names):
    plan = evaluation({"LS": "valid_and_test"}, mode)
    train, valid, test = assert_same(write_data(files, names) | plan, names)
    assert len(train) and len(test)
    assert len(valid) or len(files.split()) == 3


@pytest.mark.parametrize("files", ["whole", "last train valid test", "random train valid test"])
@pytest.mark.parametrize("items", ["", "item columns"])
def test_more_columns_change_no_row(files, items):
    settings = write_data(files, PLAIN)
    settings["load_col"]["item"] = ["item_id", "kind"]
    if items:
        lines = ["item_id:token\tkind:token_seq", *(f"i{n}\ta{n % 3} b" for n in range(12))]
        Path("dataset/tiny/tiny.item").write_text("\n".join(lines) + "\n")
    assert_same(settings | evaluation({"LS": "valid_and_test"}, "uni5"))
    assert_same(settings | evaluation({"LS": "valid_and_test"}) | {"load_col": None})


def test_files_that_hold_what_leave_one_out_would_hold_give_its_rows():
    plan = evaluation({"LS": "valid_and_test"})
    parts = assert_same(write_data("last train valid test", PLAIN) | plan)
    whole = assert_same(write_data("whole", PLAIN) | plan)

    def tokens(dataset):
        """Rows of users with four clicks or more; others leave fewer than two out."""
        users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
        drawn = zip(dataset.inter_feat["user_id"].tolist(), pairs([dataset.inter_feat], PLAIN))
        found = [(users[user], *items[[*history, target]]) for user, (history, target) in drawn]
        return sorted(row for row in found if row[0] in ("u4", "u5", "u6", "u7"))

    for mine, theirs in zip(parts, whole):
        assert tokens(mine.dataset) == tokens(theirs.dataset) != []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (evaluation({"RS": [0.8, 0.1, 0.1]}, order="RO"), "RO"),
        (evaluation({"LS": "valid_only"}), "leaves 22 rows for training, 6 for validation and 0"),
        (evaluation({"RS": [0.9, 0.1, 0]}), "0 for test. Choose another split"),
        (evaluation({"RS": [0, 0, 0]}), "[0, 0, 0]"),
        (evaluation({"RS": [1]}), "[1]"),
        (evaluation({"RS": [0.8, -0.1, 0.1]}), "-0.1"),
        (evaluation({"RS": [0.4, 0.2, 0.2, 0.2]}), "two or three shares"),
        (evaluation({"TS": [0.8, 0.2]}), "three shares"),
        (evaluation({"LS": "test"}), "near it: test_only"),
        (evaluation({"XX": [0.9, 0.1]}), "XX"),
        (evaluation({"RS": [0.8, 0.1, 0.1]}, group_by="item"), "group_by of eval_args is 'item'"),
        (evaluation({"LS": "valid_and_test"}, "labeled"), "of eval_args, not with labeled"),
        (evaluation({"LS": "valid_and_test"}, "uni0"), "uni0"),
        ({"topk": [13], "valid_metric": "MRR@13"}, "12 items"),
        ({"user_inter_num_interval": "[100,inf)"}, "user_inter_num_interval='[100,inf)'"),
        ({"item_inter_num_interval": "[100"}, "item_inter_num_interval is '[100'"),
        ({"user_inter_num_interval": "[9,3]"}, "user_inter_num_interval is [9, 3]"),
        ({"user_inter_num_interval": "[1,1]"}, "no user has two interactions"),
        ({"val_interval": {"timestamp": "[0,1]"}}, "val_interval"),
        ({"val_interval": {"tme": "[0,1]"}}, "val_interval names a column 'tme'"),
        ({"val_interval": {"user_id": "[0,1]"}}, "the column is no number"),
        ({"val_interval": {"timestamp": [1]}}, "the column is a number"),
        ({"alias_of_item_id": ["x"]}, "alias_of_item_id names a column 'x'"),
        ({"normalize_field": ["x"]}, "normalize_field names a column 'x'"),
        ({"load_col": {"inter": ["user_id", "item_id"]}}, "TIME_FIELD"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_training(plan, said):
    refusal = assert_same(write_data("whole", PLAIN) | plan)
    assert isinstance(refusal, str)
    assert said in refusal


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"benchmark_filename": ["train", "val", "test"]}, "no tiny.val.inter"),
        ({"benchmark_filename": ["train"]}, "['train']"),
        ({"benchmark_filename": "train"}, "'train'"),
        ({"benchmark_filename": ["train", "none", "test"]}, "tiny.none.inter"),
        ({"user_inter_num_interval": "[2,inf)"}, "not filtered"),
    ],
    ids=str,
)
def test_files_that_cannot_be_are_refused(settings, said):
    assert said in assert_same(write_data("last train valid test", PLAIN) | settings)


def test_lists_that_are_not_read_or_numbered_as_items_are_refused():
    settings = write_data("lists train valid test", PLAIN)
    unread = settings | {"load_col": {"inter": ["user_id", "item_id"]}, "alias_of_item_id": None}
    assert "item_id_list:token_seq" in assert_same(unread)
    assert "alias_of_item_id" in assert_same(settings | {"alias_of_item_id": None})


def test_rows_with_an_empty_history_are_dropped_and_counted(caplog):
    settings = write_data("lists train test", PLAIN)
    whole = assert_same(settings)
    with open("dataset/tiny/tiny.train.inter", "a") as file:
        file.write("u1\t\ti3\nu2\t\ti4\n")
    caplog.clear()
    with_empty = assert_same(settings)
    assert len(with_empty[0].dataset) == len(whole[0].dataset)
    assert "tiny.train.inter: 2 of" in caplog.text


def test_files_without_a_time_are_in_the_order_of_their_rows(caplog):
    header = ["user_id:token", "item_id:token"]
    for part, items in {"train": "abc", "valid": "d", "test": "e"}.items():
        write(header, [(user, item) for item in items for user in ("u", "v")], f".{part}")
    _, valid, test = assert_same({"benchmark_filename": ["train", "valid", "test"]})
    for loader, expected in ((valid, "abcd"), (test, "bcde")):
        items = loader.dataset.field2id_token["item_id"]
        for history, target in pairs([loader.dataset.inter_feat], PLAIN):
            assert "".join(items[[*history, target]])[-4:] == expected[-4:]
    assert "no column 'timestamp'" in caplog.text


def test_columns_that_some_files_lack_are_refused():
    settings = write_data("last train valid test", PLAIN)
    write(["user_id:token", "item_id:token"], [("u1", "i2")], ".test")
    assert "tiny.test.inter (benchmark_filename) has no column timestamp" in assert_same(settings)


def test_a_window_reads_what_other_files_hold_and_predicts_its_own():
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write(header, [("u", "b", 2), ("u", "d", 4)], ".train")
    write(header, [("u", "a", 1), ("u", "c", 3), ("u", "e", 5)], ".test")
    settings = {"benchmark_filename": ["train", "test"]}
    mine = loaders("IDMMDistill", MultiModalSequentialDataset, settings)
    (batch,) = mine[0]
    items = mine[0].dataset.field2id_token["item_id"]
    assert items[batch["item_id_list"][0]].tolist() == ["a", "b", "c"]
    assert items[batch["target_item_id_list"][0]].tolist() == ["b", "[PAD]", "d"]
    assert torch.equal(batch["item_length"], torch.tensor([3]))
