"""The checkpoint's file: what is written comes back, and nothing else is read."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill import checkpoint
from recbole_mmdistill.errors import UserError
from tests.integration.hostile import MARK, OTHERS, PICKLES

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.integers(0, 9)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text("ab$/_", max_size=3), TREES, max_size=3))
@settings(max_examples=60, deadline=None)
def test_plain_data_comes_back_as_it_was(value):
    checkpoint.write("plain.pth", value)
    again = checkpoint.read("plain.pth")
    assert again == value and repr(again) == repr(value)  # also 1, True and 1.0; also -0.0


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3).T,
        torch.tensor(3, dtype=torch.int64),
        torch.zeros(0, 4, dtype=torch.float16),
        torch.tensor([True, False]),
        torch.tensor([1.5], dtype=torch.bfloat16),
    ],
)
def test_a_tensor_comes_back_with_its_shape_and_dtype(tensor):
    checkpoint.write("tensor.pth", {"a": [tensor, {"data": tensor}], "": tensor, "a/0": tensor})
    again = checkpoint.read("tensor.pth")
    for read in (again["a"][0], again["a"][1]["data"], again[""], again["a/0"]):
        assert read.dtype == tensor.dtype and torch.equal(read, tensor)


def test_arrays_texts_and_sparse_matrices_come_back():
    tokens = np.array(["[PAD]", "", "007", "Ж\t漢🎬"])
    matrix = scipy.sparse.random(4, 5, 0.5, format="csr", random_state=0)
    value = {"tokens": tokens, "keys": np.arange(3, dtype=np.uint32), "matrix": matrix}
    checkpoint.write("arrays.pth", value)
    again = checkpoint.read("arrays.pth")
    assert again["tokens"].tolist() == tokens.tolist()
    assert again["keys"].dtype == np.uint32 and again["keys"].tolist() == [0, 1, 2]
    assert again["matrix"].format == "csr" and (again["matrix"] != matrix).nnz == 0


def test_an_object_cannot_be_written():
    with pytest.raises(TypeError, match="a/0 is a device"):
        checkpoint.write("object.pth", {"a": [torch.device("cpu")]})
    assert not list(Path().iterdir())


def test_the_plain_data_can_be_read_alone():
    checkpoint.write("some.pth", {"epoch": 3, "state": {"w": torch.ones(3)}, "t": np.array(["a"])})
    assert checkpoint.peek("some.pth") == {"epoch": 3, "state": {"w": None}, "t": None}


def test_weights_of_torch_save_are_read():
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 1}, "torch.pth")
    assert checkpoint.read("torch.pth")["epoch"] == 1


@pytest.mark.parametrize("make", [*PICKLES, *OTHERS], ids=lambda make: make.__name__)
def test_whatever_else_is_refused_in_a_sentence_and_runs_nothing(make):
    make("hostile.pth")
    with pytest.raises(UserError, match=r"hostile\.pth") as refused:
        checkpoint.read("hostile.pth")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600
    try:
        assert isinstance(checkpoint.peek("hostile.pth"), dict)  # it looks at no tensor
    except UserError as error:
        assert "hostile.pth" in str(error)
    assert not Path(MARK).exists()


@pytest.mark.parametrize("make", PICKLES[2:], ids=lambda make: make.__name__)
def test_a_pickle_is_told_how_to_be_trusted(make):
    make("old.pth")
    with pytest.raises(UserError, match=r"recbole-mm unpickle"):
        checkpoint.read("old.pth")


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), end=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused(place, value, end):
    tokens = np.array(["[PAD]", "a", "b"])
    checkpoint.write("whole.pth", {"n": (1, 2.5), "w": torch.ones(3), "tokens": tokens})
    data = bytearray(Path("whole.pth").read_bytes())
    place %= len(data)
    if end:
        del data[place:]
    else:
        data[place] = value
    Path("damaged.pth").write_bytes(data)
    try:
        assert isinstance(checkpoint.read("damaged.pth"), dict)
        header = 8 + int.from_bytes(data[:8], "little")
        assert data[header:] == Path("whole.pth").read_bytes()[header:]
    except UserError as error:
        assert "damaged.pth" in str(error)


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    checkpoint.write("kept.pth", {"n": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"kept\.pth cannot be written \(No space left"):
        checkpoint.write("kept.pth", {"n": 2})
    assert checkpoint.read("kept.pth") == {"n": 1}
    assert [path.name for path in Path().iterdir()] == ["kept.pth"]


def test_a_writer_that_is_killed_leaves_a_whole_file():
    checkpoint.write("kept.pth", {"n": -1, "w": torch.zeros(100_000)})
    for after in (0.02, 0.05, 0.08):
        child = os.fork()
        if child == 0:
            try:
                for n in range(10**6):
                    checkpoint.write("kept.pth", {"n": n, "w": torch.full((100_000,), n)})
            finally:
                os._exit(1)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = checkpoint.read("kept.pth")
        assert (found["w"] == max(found["n"], 0)).all()
