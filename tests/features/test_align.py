import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import align as align_module
from recbole_mmdistill.features import align_features, from_array, open_features, write_features
from tests.features.builders import TEXT, abc


def test_rows_are_found_by_item_token():
    aligned = align_features(abc(), ["[PAD]", "c", "x", "a"])
    assert aligned.row_of_item.tolist() == [-1, 2, -1, 0]
    assert aligned.present.tolist() == [False, True, False, True]
    assert (aligned.modality, aligned.n_tokens, aligned.dim) == ("text", 2, 2)
    assert aligned.info == TEXT


def test_items_that_only_the_source_has_are_counted_and_named():
    values = torch.zeros(8, 1)
    source = from_array(values, list("abcdefgh"), TEXT)
    unknown = align_features(source, ["[PAD]", "c"]).unknown_items
    assert unknown.count == 7
    assert unknown.examples == ("a", "b", "d", "e", "f")


def test_the_padding_item_never_has_a_feature():
    source = from_array(torch.zeros(2, 1), ["[PAD]", "a"], TEXT)
    aligned = align_features(source, ["[PAD]", "a"])
    assert aligned.row_of_item.tolist() == [-1, 1]
    assert aligned.unknown_items.examples == ("[PAD]",)


def test_values_are_the_sources_own():
    source = abc()
    assert align_features(source, ["[PAD]", "a"]).values.data_ptr() == source.values.data_ptr()


def test_fixed_width_item_tokens_of_recbole_are_understood():
    aligned = align_features(abc(), np.array(["[PAD]", "b"]))
    assert aligned.row_of_item.tolist() == [-1, 1]


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
        min_size=1,
        unique=True,
    ),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_each_item_gets_its_own_vector_and_never_anothers(items, random, data):
    """Both sides are any subset of the items, in any order."""
    in_file, in_dataset = (random.sample(items, len(items)) for _ in range(2))
    in_file = in_file[: data.draw(st.integers(1, len(items)))]
    in_dataset = in_dataset[: data.draw(st.integers(1, len(items)))]
    if not set(in_file) & set(in_dataset):
        in_dataset.append(in_file[0])
    number = {item: index for index, item in enumerate(items)}
    values = torch.tensor([[float(number[item])] for item in in_file])
    aligned = align_features(from_array(values, in_file, TEXT), ["[PAD]", *in_dataset])
    assert not aligned.present[0]
    for item, row in zip(in_dataset, aligned.row_of_item[1:].tolist()):
        assert (row >= 0) == (item in in_file)
        if row >= 0:
            assert aligned.values[row].item() == number[item]
    assert aligned.unknown_items.count == len(set(in_file) - set(in_dataset))


def test_nothing_in_common_names_both_kinds_of_items():
    with pytest.raises(
        UserError, match=r"None of the 2 items.*'a', 'b', 'c', the dataset's.*'1', "
    ):
        align_features(abc(), ["[PAD]", "1", "2"])


def test_an_item_without_any_real_token_has_no_feature():
    mask = torch.tensor([[1, 0], [0, 0]])
    source = from_array(torch.zeros(2, 2, 3), ["a", "b"], TEXT, mask)
    aligned = align_features(source, ["[PAD]", "b", "a"])
    assert aligned.row_of_item.tolist() == [-1, -1, 0]
    assert aligned.unknown_items.count == 0


def test_padding_before_the_first_real_token_is_refused():
    mask = torch.tensor([[1, 0], [0, 1]])
    source = from_array(torch.zeros(2, 2, 3), ["a", "b"], TEXT, mask, name="my vectors")
    with pytest.raises(UserError, match=r"1 items of my vectors.*'b'"):
        align_features(source, ["[PAD]", "b"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("chunk_bytes", [1, 40, 1 << 25])
def test_a_number_that_is_not_finite_names_file_item_and_number(monkeypatch, bad, chunk_bytes):
    monkeypatch.setattr(align_module, "CHUNK_BYTES", chunk_bytes)
    values = torch.zeros(4, 2, 3)
    values[1, 1, 2] = values[3, 0, 0] = bad
    source = from_array(values, list("abcd"), TEXT, name="my vectors")
    expected = rf"2 items of my vectors.*first item 'b' \(row 1\), with {bad}"
    with pytest.raises(UserError, match=expected):
        align_features(source, ["[PAD]", "d", "c", "b"])


def test_only_rows_in_use_must_be_finite():
    values = torch.tensor([[1.0], [float("nan")]])
    source = from_array(values, ["a", "b"], TEXT)
    assert align_features(source, ["[PAD]", "a"]).row_of_item.tolist() == [-1, 0]


def test_pickled_it_holds_no_values(tmp_path):
    path = tmp_path / "toy.text.safetensors"
    write_features(path, torch.ones(3, 100, 100), ["a", "b", "c"], TEXT)
    pickled = pickle.dumps(align_features(open_features(path), ["[PAD]", "c", "a"]))
    assert len(pickled) < 1000
    aligned = pickle.loads(pickled)
    assert aligned.row_of_item.tolist() == [-1, 2, 0]
    assert torch.equal(aligned.values, torch.ones(3, 100, 100))


def test_unpickled_it_fits_a_file_made_anew_in_between(tmp_path):
    path = tmp_path / "toy.text.safetensors"
    write_features(path, torch.tensor([[1.0], [2.0]]), ["a", "b"], TEXT)
    pickled = pickle.dumps(align_features(open_features(path), ["[PAD]", "a", "b"]))
    write_features(path, torch.tensor([[2.0], [3.0], [1.0]]), ["b", "c", "a"], TEXT)
    aligned = pickle.loads(pickled)
    assert aligned.values[aligned.row_of_item[1:]].flatten().tolist() == [1, 2]


def test_unpickled_it_checks_a_file_made_anew_in_between(tmp_path):
    path = tmp_path / "toy.text.safetensors"
    write_features(path, torch.tensor([[1.0]]), ["a"], TEXT)
    pickled = pickle.dumps(align_features(open_features(path), ["[PAD]", "a"]))
    write_features(path, torch.tensor([[float("nan")]]), ["a"], TEXT)
    with pytest.raises(UserError, match="not finite"):
        pickle.loads(pickled)
