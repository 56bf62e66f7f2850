"""What every format must do: keep each number and each item, or refuse them."""

import os
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.features import open_features
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.formats import FORMATS, Options
from tests.features.builders import abc
from tests.features.conversion.builders import (
    FOREIGN,
    NAMES,
    TOKENS,
    VALUES,
    refused,
    vectors,
    write,
)


def through(ours, folder, *formats, ids=None, dim=2, dtype=None):
    """Convert from one format to the next, and at last to a feature file."""
    reading, path = "safetensors", ours
    for place, writing in enumerate([*formats, "safetensors"]):
        options = Options(
            ids=ids if {reading, writing} & {"npy", "raw"} else None,
            dim=dim if reading == "raw" else None,
            dtype=dtype if writing == "safetensors" else None,
        )
        destination = folder / str(place) / NAMES[writing]
        convert(path, destination, options)
        reading, path = writing, destination
    return path


def test_every_format_is_tested():
    assert FORMATS.keys() == NAMES.keys()


@pytest.mark.parametrize("format", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_round_trip_is_exact_to_the_bit(tmp_path, format, dtype):
    ours = write(tmp_path / "ours.text.safetensors", VALUES.astype(dtype))
    back = through(ours, tmp_path, format, dtype=dtype)
    assert vectors(back) == vectors(ours)
    assert open_features(back).item_tokens.tolist() == TOKENS
    assert open_features(back).values.dtype == getattr(torch, dtype)


@pytest.mark.parametrize("format", ["safetensors", "npy"])
def test_the_dtype_stays(tmp_path, format):
    ours = write(tmp_path / "ours.text.safetensors", VALUES.astype(np.float16))
    assert open_features(through(ours, tmp_path, format)).values.dtype == torch.float16


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\t\n\r"), min_size=1, max_size=4
).filter(lambda text: text[0] != "\ufeff")
NUMBERS = st.integers(0, 50).map(str)


@given(
    data=st.data(),
    pair=st.tuples(*[st.sampled_from(sorted(NAMES))] * 2),
    by_number=st.booleans(),
    dtype=st.sampled_from([np.float16, np.float32]),
    dim=st.integers(1, 4),
)
def test_each_item_keeps_its_vector_through_every_pair_of_formats(
    tmp_path_factory, data, pair, by_number, dtype, dim
):
    texts = NUMBERS if by_number else TEXTS
    tokens = data.draw(st.lists(texts, min_size=1, max_size=5, unique=True))
    numbers = st.floats(width=dtype().nbytes * 8, allow_nan=False, allow_infinity=False)
    values = data.draw(st.lists(numbers, min_size=len(tokens) * dim, max_size=len(tokens) * dim))
    folder = tmp_path_factory.mktemp("pair")
    values = np.array(values, dtype=dtype).reshape(-1, dim)
    ours = write(folder / "ours.text.safetensors", values, tokens)
    back = vectors(through(ours, folder, *pair, ids="rows" if by_number else None, dim=dim))
    expected = vectors(ours)
    assert expected.items() <= back.items()
    assert {back[token] for token in back.keys() - expected.keys()} <= {bytes(4 * dim)}
    if not by_number:
        assert [*back] == [*expected]


@pytest.mark.parametrize("format", FOREIGN)
def test_a_missing_source_is_named(tmp_path, format):
    refused(r"There is no file .*toy\.text", tmp_path / NAMES[format], tmp_path / "x.safetensors")


@pytest.mark.parametrize("format", ["itememb", "raw"])
def test_one_vector_cannot_be_several(tmp_path, format):
    several = write(tmp_path / "ours.text.safetensors", abc().values, ["a", "b", "c"])
    message = f"has 2 tokens for each item, but {format} holds one vector"
    refused(message, several, tmp_path / NAMES[format])


@pytest.mark.parametrize("format", FOREIGN)
def test_padding_cannot_be_written(tmp_path, format):
    mask = torch.tensor([[1, 1], [1, 0], [1, 1]])
    several = write(tmp_path / "ours.text.safetensors", abc().values, ["a", "b", "c"], mask)
    refused("has 2 tokens for each item, some of them padding", several, tmp_path / NAMES[format])
    assert os.listdir(tmp_path) == ["ours.text.safetensors"]


@pytest.mark.parametrize("format", FOREIGN)
@pytest.mark.parametrize("token", ["a\nb", "a\tb", "a\r", "", "\ufeffa"])
def test_an_item_that_cannot_be_a_line_is_refused(tmp_path, format, token):
    ours = write(tmp_path / "ours.text.safetensors", VALUES, ["x", token, "y"])
    refused(rf"Item {re.escape(repr(token))} cannot stand in", ours, tmp_path / NAMES[format])


@pytest.mark.parametrize("format", NAMES)
@pytest.mark.parametrize("failure", ["in the values", "on the disk"])
def test_a_failure_leaves_the_old_files_and_no_others(tmp_path, monkeypatch, format, failure):
    folder = tmp_path / "destination"
    convert(write(tmp_path / "old.text.safetensors"), folder / NAMES[format])
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    new = VALUES * [[1], [1], [np.nan if failure == "in the values" else 1]]
    source = write(tmp_path / "new.text.safetensors", new.astype(np.float32))
    if failure == "on the disk":

        def no_room(*arguments):
            raise OSError("No space left on device")

        monkeypatch.setattr("recbole_mmdistill.files.os.fsync", no_room)
    refused("holds nan|No space left", source, folder / NAMES[format])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
