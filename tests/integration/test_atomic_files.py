"""Every dataset of RecBole reads atomic files in the same way, and says what it leaves out."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset, KnowledgeBasedDataset, SequentialDataset
from recbole.utils import FeatureSource

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.integration.fixes import original
from tests.data.builders import config, ours, recboles, write_inter

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
ITEMS = "item_id:token\ttags:token_seq\tsize:float_seq\tprice:float"
COLUMNS = {"load_col": {"inter": "*", "item": "*"}}


def write(suffix, lines, name="tiny"):
    """Write an atomic file of lines, a space of which is a tab and a | a space."""
    text = "".join(line.replace(" ", "\t").replace("|", " ") + "\n" for line in lines)
    path = Path("dataset") / name / f"{name}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def tokens_of(dataset, field, feat="inter_feat"):
    ids = getattr(dataset, feat)[field].to_numpy()
    return dataset.field2id_token[field][ids].tolist()


# The same table, whoever reads it

odd = st.sampled_from(['"', '"a"', "007", "7", "NA", "null", "nan", "None", "a b", " a", "é", "🎬"])
tokens = odd | st.text(st.characters(codec="utf-8", exclude_characters='\0\t\r\n"'), min_size=1)
times = st.integers(0, 2**40).map(str) | st.floats(0, 1e12).map(repr)
rows = st.lists(st.tuples(tokens, tokens | st.just(""), times), min_size=2, max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows.filter(lambda rows: any(item for _, item, _ in rows)), st.sampled_from(["", "\ufeff"]))
def test_our_dataset_and_recboles_have_the_files_rows(rows, bom):
    path = write("inter", [])
    text = "\n".join([HEADER, *("\t".join(row) for row in rows)])
    path.write_text(bom + text, encoding="utf-8", newline="")
    whole = [row for row in rows if row[1]]
    for dataset in (ours(**COLUMNS), recboles(**COLUMNS)):
        assert tokens_of(dataset, "user_id") == [user for user, _, _ in whole]
        assert tokens_of(dataset, "item_id") == [item for _, item, _ in whole]
        assert dataset.inter_feat["timestamp"].tolist() == [float(time) for *_, time in whole]


class Bare(Dataset):
    """A dataset that has read nothing yet."""

    def _from_scratch(self):
        self._get_preset()
        self._get_field_from_config()


plain = st.from_regex(r"[A-MO-Za-mo-zé1-9][\w.,;:'#-]{0,9}", fullmatch=True)
number = st.integers(-(10**6), 10**6).map(str) | st.floats(-1e9, 1e9).map(repr)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            plain,
            st.lists(plain, min_size=1, max_size=3).map(" ".join),
            st.lists(number, min_size=1, max_size=3).map(" ".join),
            number | st.just(""),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_plain_files_are_read_as_recboles_own_reader_does(rows):
    path = write("item", [])
    path.write_text("\n".join([ITEMS, *("\t".join(row) for row in rows)]), encoding="utf-8")
    ours, theirs = Bare(config(**COLUMNS)), Bare(config(**COLUMNS))
    mine = ours._load_feat(str(path), FeatureSource.ITEM)
    expected = original("recbole.data.dataset.dataset:Dataset._load_feat")(
        theirs, str(path), FeatureSource.ITEM
    )
    assert list(mine) == list(expected)
    for field in mine:
        for cell, other in zip(mine[field], expected[field], strict=True):
            np.testing.assert_array_equal(cell, other)
    for name in ("field2type", "field2source", "field2seqlen", "field2bucketnum"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_sequences_are_cut_and_may_be_empty():
    write_inter()
    write("item", [ITEMS.replace("\t", " "), "a x|y|z 1|2 3", "b  NA ", 'c "x 5 1'])
    for make in (ours, recboles):
        dataset = make(**COLUMNS, seq_len={"tags": 2}, normalize_all=False)
        tags = dataset.field2id_token["tags"]
        items = dict(zip(tokens_of(dataset, "item_id", "item_feat"), dataset.item_feat["tags"]))
        assert [tags[ids].tolist() for ids in (items["a"], items["b"], items["c"])] == [
            ["x", "y"],
            [],
            ['"x'],
        ]
        assert (dataset.field2seqlen["tags"], dataset.field2seqlen["size"]) == (2, 2)


def test_knowledge_graphs_are_read_too():
    write_inter()
    write("kg", ["head_id:token relation_id:token tail_id:token", 'e1 "r e2', "e2 NA e1", "e3  e1"])
    write("link", ["item_id:token entity_id:token", "a e1", "b e2"])
    load_col = {
        "inter": ["user_id", "item_id"],
        "kg": ["head_id", "relation_id", "tail_id"],
        "link": ["item_id", "entity_id"],
    }
    dataset = KnowledgeBasedDataset(config(model="CFKG", load_col=load_col))
    assert dataset.field2id_token["relation_id"].tolist() == ["[PAD]", '"r', "NA", "[UI-Relation]"]
    assert len(dataset.kg_feat) == 2
    assert len(dataset.item2entity) == 2


# What is left out is said


@pytest.fixture
def log(caplog):
    """What is logged, as one text."""
    caplog.set_level(logging.INFO)
    return lambda: " | ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("make", [ours, recboles])
def test_rows_without_a_user_or_an_item_are_counted(make, log):
    write("inter", [HEADER.replace("\t", " "), "u a 1", "", "u  2", " a 3", "u b 4"])
    dataset = make(**COLUMNS)
    assert tokens_of(dataset, "item_id") == ["a", "b"]
    assert (
        "2 of 4 rows of dataset/tiny/tiny.inter are left out: rows without user_id or item_id; "
        "the first is line 4."
    ) in log()


def test_second_rows_of_an_item_are_counted(log):
    write_inter()
    write("item", ["item_id:token price:float", "a 1", "b ", "a 3", " 4"])
    dataset = recboles(**COLUMNS)
    assert dataset.item_feat["price"][dataset.token2id("item_id", "a")] == 1
    assert "1 of 4 rows of dataset/tiny/tiny.item are left out: rows without item_id" in log()
    assert "1 of 4 rows of dataset/tiny/tiny.item are left out: rows of an id that" in log()
    assert "1 of 2 cells of price in dataset/tiny/tiny.item are empty" in log()


def test_interactions_of_items_without_a_row_are_counted(log):
    write_inter()
    write("item", ["item_id:token price:float", "a 1", "b 2"])
    assert len(recboles(**COLUMNS).inter_feat) == 5
    assert "11 of 16 interactions are left out" in log()
    assert "filter_inter_by_user_or_item" in log()


# Time


@pytest.mark.parametrize("make", [ours, recboles])
def test_without_a_time_field_rows_are_in_the_files_order(make, log):
    write("inter", ["user_id:token item_id:token", "u c", "v b", "u a", "u b", "v c", "v a"])
    dataset = make(load_col=None)
    assert dataset.inter_feat["timestamp"].tolist() == [0, 1, 2, 3, 4, 5]
    assert "no column 'timestamp' (TIME_FIELD)" in log() and "order of its rows" in log()
    test = dataset.build()[2]
    item = test.field2id_token["item_id"]
    assert item[test.inter_feat["item_id"]].tolist() == ["b", "a"]
    assert item[test[[0, 1]]["item_id_list"]][:, :2].tolist() == [["c", "a"], ["b", "c"]]


def test_other_models_need_no_time():
    write("inter", ["user_id:token item_id:token", "u c", "v b"])
    assert "timestamp" not in Dataset(config(model="BPR", load_col=None)).inter_feat


def test_parts_without_a_time_field_follow_each_other():
    for part in ("train", "valid", "test"):
        write(f"{part}.inter", ["user_id:token item_id:token", "u c", "v b"])
    dataset = Bare(config(load_col=None))
    dataset.__class__ = SequentialDataset
    found = [
        dataset._load_feat(f"dataset/tiny/tiny.{part}.inter", FeatureSource.INTERACTION)
        for part in ("train", "valid", "test")
    ]
    assert [frame["timestamp"].tolist() for frame in found] == [[0, 1], [2, 3], [4, 5]]


# What is refused


@pytest.mark.parametrize("make", [ours, recboles])
@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["user_id:token it:token", "u a"], {}, r"no column 'item_id' \(ITEM_ID_FIELD\)"),
        (["user:token item_id:token", "u a"], {}, r"no column 'user_id' .*near it: user"),
        (["user_id:float item_id:token", "1 a"], {}, "'user_id' of .* is of type float, not token"),
        (["user_id:token item_id:token_seq", "u a"], {}, "'item_id' .* of type token_seq"),
        (["user_id:token item_id:token timestamp:token", "u a 1"], {}, "'timestamp' .* not float"),
        ([HEADER, "u a 1", "u b "], {}, r"Line 3 of .* has no timestamp \(1 of 2 rows"),
        ([HEADER, "u  1", " a 1"], {}, "No row of .* has user_id and item_id"),
        ([HEADER, 'u "a 1', "u a 2"], {}, "has '\"a' in item_id, and 'a' in other rows"),
        ([HEADER, "u a 1", "u [PAD] 2"], {}, r"Line 3 of .* has '\[PAD\]' in item_id"),
        ([HEADER, "u a 1"], {"TIME_FIELD": None}, "TIME_FIELD is None"),
        (
            [HEADER, "u a 1"],
            {"load_col": {"inter": ["user_id", "item_id", "timestmp"]}},
            "load_col names a column 'timestmp'.*near it: timestamp",
        ),
        (
            [HEADER, "u a 1"],
            {"load_col": {"inter": ["user_id", "timestamp"]}},
            r"leaves out the column 'item_id' \(ITEM_ID_FIELD\)",
        ),
        (
            [HEADER, "u a 1"],
            {"load_col": {"inter": ["user_id", "item_id"]}},
            r"leaves out the column 'timestamp' \(TIME_FIELD\)",
        ),
        ([HEADER, "u a 1"], {"load_col": {"item": "*"}}, "leaves out the column"),
        ([HEADER, "u a 1"], {"field_separator": "::"}, "field_separator is '::'"),
        ([HEADER, "u a 1"], {"seq_separator": ""}, "seq_separator is ''"),
        ([HEADER, "u a 1"], {"encoding": "utf-9"}, "encoding is 'utf-9'"),
    ],
)
def test_both_datasets_refuse_what_is_wrong(make, lines, options, message):
    write("inter", [line.replace("\t", " ") for line in lines])
    with pytest.raises(UserError, match=message):
        make(**{"load_col": None, **options})


def test_a_column_of_two_files_is_refused():
    write_inter()
    write("item", ["item_id:token rating:float", "a 5"])
    with pytest.raises(UserError, match=r"tiny\.item has a column 'rating', and so has \.inter"):
        recboles(**COLUMNS)
    load_col = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "rating"]}
    assert recboles(load_col=load_col).item_feat["rating"][1] == 5


def test_options_name_the_columns():
    write("inter", ["session:token sku:token at:float", "u a 3", "u b 1", "u c 2", "u d 4"])
    fields = {"USER_ID_FIELD": "session", "ITEM_ID_FIELD": "sku", "TIME_FIELD": "at"}
    train = ours(**fields, load_col=None).build()[0]
    token = train.field2id_token["sku"]
    batch = train[[0]]
    assert token[batch["sku_list"][0]] == "b"
    assert token[batch["target_sku_list"][0]] == "c"
