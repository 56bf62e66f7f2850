import pickle

import numpy as np
import pytest
import torch

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import from_array
from tests.features.builders import TEXT, abc


def test_pooled_features_have_one_token():
    source = from_array(np.zeros((3, 4), dtype=np.float16), ["a", "b", "c"], TEXT)
    assert source.values.shape == (3, 1, 4)
    assert source.values.dtype == torch.float16


def test_values_are_not_copied():
    values = np.zeros((3, 1, 4), dtype=np.float32)
    source = from_array(values, ["a", "b", "c"], TEXT)
    values[1, 0, 2] = 7
    assert source.values[1, 0, 2] == 7


def test_an_array_mapped_for_reading_only_is_welcome(tmp_path, recwarn):
    np.save(tmp_path / "values.npy", np.ones((2, 3), dtype=np.float32))
    source = from_array(np.load(tmp_path / "values.npy", mmap_mode="r"), ["a", "b"], TEXT)
    assert source.values.sum() == 6
    assert not recwarn.list


def test_fixed_width_strings_become_plain_ones():
    source = from_array(torch.zeros(2, 1), np.array(["10", "9"]), TEXT)
    assert [type(token) for token in source.item_tokens] == [str, str]


def test_integer_mask_becomes_bool():
    mask = np.array([[1, 0], [1, 1]], dtype=np.uint8)
    source = from_array(torch.zeros(2, 2, 3), ["a", "b"], TEXT, mask)
    assert source.token_mask.tolist() == [[True, False], [True, True]]


def test_a_source_in_memory_is_pickled_by_value():
    copy = pickle.loads(pickle.dumps(abc()))
    assert torch.equal(copy.values, abc().values)
    assert copy.item_tokens.tolist() == ["a", "b", "c"]
    assert copy.info == TEXT


@pytest.mark.parametrize(
    ("values", "item_tokens", "mask", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.float64), ["a", "b"], None, "dtype float64.*astype"),
        (torch.zeros(2, 3, dtype=torch.int64), ["a", "b"], None, "dtype int64"),
        (torch.zeros(2, 3, dtype=torch.bfloat16), ["a", "b"], None, "dtype bfloat16"),
        (np.zeros((2, 3), dtype=">f4"), ["a", "b"], None, "dtype >f4"),
        (torch.zeros(2), ["a", "b"], None, r"shape \[2\]"),
        (torch.zeros(2, 1, 3, 1), ["a", "b"], None, r"shape \[2, 1, 3, 1\]"),
        (torch.zeros(2, 0), ["a", "b"], None, r"shape \[2, 1, 0\].*length 0"),
        (torch.zeros(0, 3), [], None, r"shape \[0, 1, 3\]"),
        (torch.zeros(2, 3), ["a"], None, "2 items, but 1 item tokens"),
        (torch.zeros(2, 3), ["a", 7], None, "type mixed-integer"),
        (torch.zeros(2, 3), [7, 8], None, "type integer"),
        (torch.zeros(2, 3), ["a", "b"], torch.ones(2, 2), "dtype torch.float32"),
        (torch.zeros(2, 3), ["a", "b"], torch.ones(2, 2).bool(), r"shape \[2, 2\]"),
    ],
)
def test_wrong_shapes_and_dtypes_are_named(values, item_tokens, mask, message):
    with pytest.raises(UserError, match=f"my vectors.*{message}"):
        from_array(values, item_tokens, TEXT, mask, name="my vectors")


def test_duplicate_items_are_counted_and_the_first_is_named():
    with pytest.raises(UserError, match=r"2 rows of my vectors.*first item 'b', in rows 1 and 3"):
        from_array(torch.zeros(5, 1), ["a", "b", "c", "b", "c"], TEXT, name="my vectors")
