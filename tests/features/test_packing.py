import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.features.packing import pack_strings, unpack_strings


def objects(strings):
    array = np.empty(len(strings), dtype=object)
    array[:] = strings
    return array


def test_offsets_count_bytes_not_characters():
    data, offsets = pack_strings(objects(["a", "é", "", "日本"]))
    assert data.tobytes() == "aé日本".encode()
    assert offsets.tolist() == [0, 1, 3, 3, 9]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=20))
def test_any_unicode_comes_back(strings):
    assert unpack_strings(*pack_strings(objects(strings))).tolist() == strings


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(UnicodeEncodeError):
        pack_strings(objects(["\ud800"]))


@pytest.mark.parametrize(
    ("text", "offsets", "reason"),
    [
        ("ab", [0, 1], "span"),
        ("ab", [1, 2], "span"),
        ("ab", [], "span"),
        ("abc", [0, 2, 1, 3], "ascend"),
        ("é", [0, 1, 2], "utf-8"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(text, offsets, reason):
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    with pytest.raises(ValueError, match=reason):
        unpack_strings(data, np.array(offsets, dtype=np.int64))


def test_bytes_that_are_no_utf8_are_refused():
    with pytest.raises(ValueError, match="utf-8"):
        unpack_strings(np.array([0xFF], dtype=np.uint8), np.array([0, 1]))


def test_wider_numbers_than_bytes_are_refused():
    with pytest.raises(ValueError, match="int32"):
        unpack_strings(np.array([97], dtype=np.int32), np.array([0, 1]))
