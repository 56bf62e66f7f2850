"""Headers of arrays: what numpy and safetensors write is read, all else is a sentence."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.headers import read_npy_header, read_safetensors_header

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"


def npy(header, body=bytes(24), version=1):
    line = header.encode("utf-8")
    size = len(line).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + line + body


def safetensors(header, body=bytes(24)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@given(
    dtype=st.sampled_from(["<f2", ">f4", "f8", "i1", "<u8", "?", "<U3"]),
    shape=st.lists(st.integers(0, 3), max_size=3).map(tuple),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_what_numpy_writes_is_read(tmp_path_factory, dtype, shape, order, seed):
    path = tmp_path_factory.getbasetemp() / "any.npy"
    numbers = np.random.default_rng(seed).integers(0, 100, shape)
    array = np.asarray(numbers.astype(dtype), order=order)
    np.save(path, array)
    stored = read_npy_header(path)
    assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
    if array.size:
        assert np.array_equal(stored.map(), array)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER + " " * 63 + "\n",
        "{'shape':(3,2),'fortran_order':False,'descr':'<f4'}",
        '{"descr": "<f4", "fortran_order": False, "shape": (3L, 2L)}',
    ],
)
def test_headers_of_other_writers(tmp_path, header, version):
    (tmp_path / "a.npy").write_bytes(npy(header, version=version))
    assert read_npy_header(tmp_path / "a.npy").map().tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    "content",
    [
        npy(HEADER[:-1]),
        npy(HEADER.replace("3", "-3")),
        npy(HEADER.replace("3", "True")),
        npy(HEADER.replace("3", "3.0")),
        npy(HEADER.replace("3", "9" * 30)),
        npy(HEADER.replace("(3, 2)", "(3)")),
        npy(HEADER.replace("(3, 2)", "((3, 2), )")),
        npy(HEADER.replace("(3, 2)", "(" * 4000)),
        npy(HEADER.replace("(3, 2)", "(" + "1, " * 70 + "6)")),
        npy(HEADER.replace("<f4", "i4,(,)f8")),
        npy(HEADER.replace("<f4", "|O")),
        npy(HEADER.replace("<f4", "<U0")),
        npy(HEADER.replace("'<f4'", "[('a', '<f4')]")),
        npy(HEADER.replace("False", "0")),
        npy(HEADER.replace("}", "'more': 'x'}")),
        npy(HEADER.replace("'shape'", "'descr'")),
        npy("[" * 9000),
        npy("{" + HEADER),
        npy(""),
        npy(HEADER, bytes(23)),
        npy(HEADER, bytes(25)),
        npy(HEADER, version=4),
        npy(HEADER)[:9],
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100),
        b"",
    ],
)
def test_damaged_npy_files_are_a_sentence(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npy \(\d+ bytes\) is truncated, or no \.npy file"):
        read_npy_header(tmp_path / "a.npy")


def entry(dtype="F32", shape=(3, 2), place=(0, 24)):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}}


def test_a_safetensors_header_is_read(tmp_path):
    (tmp_path / "a").write_bytes(safetensors({"__metadata__": {"x": "y"}, **entry()}))
    metadata, arrays = read_safetensors_header(tmp_path / "a", "Do.")
    assert metadata == {"x": "y"}
    assert arrays["a"].map().tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"[" * 100_000),
        safetensors([]),
        safetensors(b"{"),
        safetensors(b"\xff{}"),
        safetensors({"a": 3}),
        safetensors({"__metadata__": {"x": 3}, **entry()}),
        safetensors({"__metadata__": "x", **entry()}),
        safetensors(entry(dtype="BF16")),
        safetensors(entry(dtype=[])),
        safetensors(entry(shape=(3, -2))),
        safetensors(entry(shape=(3, True))),
        safetensors(entry(shape=(3, 2.0))),
        safetensors(entry(shape=(2**61, 2**61))),
        safetensors(entry(shape=(1,) * 60)),
        safetensors(entry(place=(0, 23))),
        safetensors(entry(place=(0,))),
        safetensors(entry(place=(4, 28)), bytes(28)),
        safetensors({**entry(), "b": entry()["a"]}),
        safetensors(entry(), bytes(23)),
        safetensors(entry(), bytes(25)),
        (1 << 62).to_bytes(8, "little") + b"{}",
        b"1234",
        b"",
    ],
)
def test_damaged_safetensors_files_are_a_sentence(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match=r"a \(\d+ bytes\) is truncated, or no safetensors.* Do\."):
        read_safetensors_header(tmp_path / "a", "Do.")
