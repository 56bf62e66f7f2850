import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import (
    FeatureInfo,
    align_features,
    open_features,
    verify_features,
    write_features,
)
from recbole_mmdistill.features.store import read_input_hashes
from tests.features.builders import TEXT, abc


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "toy.text.safetensors"
    write_features(path, abc().values, ["a", "b", "c"], TEXT)
    return path


def rewrite(path, metadata=None, **tensors):
    """Write a file again with some of its tensors or metadata changed, None: left out."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        metadata = file.metadata() | (metadata or {})
    changed = {**load_file(path), **tensors}
    save_file(
        {key: tensor for key, tensor in changed.items() if tensor is not None},
        path,
        {key: text for key, text in metadata.items() if text is not None},
    )


def test_everything_comes_back(path):
    source = open_features(path)
    assert torch.equal(source.values, abc().values)
    assert source.item_tokens.tolist() == ["a", "b", "c"]
    assert source.token_mask is None
    assert source.info == TEXT
    assert source.path == path


@given(
    dtype=st.sampled_from([np.float16, np.float32]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4)),
    seed=st.integers(0, 2**32 - 1),
    with_mask=st.booleans(),
    data=st.data(),
)
def test_round_trip_is_exact_to_the_bit(tmp_path_factory, dtype, shape, seed, with_mask, data):
    generator = np.random.default_rng(seed)
    values = np.frombuffer(generator.bytes(int(np.prod(shape)) * dtype().nbytes), dtype=dtype)
    mask = generator.integers(0, 2, shape[:2], dtype=np.uint8) if with_mask else None
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
    tokens = data.draw(st.lists(text, min_size=shape[0], max_size=shape[0], unique=True))
    path = tmp_path_factory.getbasetemp() / "round-trip.text.safetensors"
    write_features(path, values.reshape(shape), tokens, TEXT, mask)
    source = open_features(path)
    assert source.values.numpy().dtype == dtype
    assert source.values.numpy().tobytes() == values.tobytes()
    assert source.item_tokens.tolist() == tokens
    if with_mask:
        assert source.token_mask.tolist() == (mask == 1).tolist()


def test_info_may_hold_any_unicode(tmp_path):
    info = FeatureInfo("image", "编码器", "", 'a "quoted" word', "line\nbreak", ("título, año", ""))
    write_features(tmp_path / "x", abc().values, ["a", "b", "c"], info)
    assert open_features(tmp_path / "x").info == info


def test_pickled_it_is_a_path_and_not_the_values(tmp_path):
    path = tmp_path / "big.text.safetensors"
    write_features(path, torch.ones(50, 10, 10), [str(i) for i in range(50)], TEXT)
    pickled = pickle.dumps(open_features(path))
    assert len(pickled) < 1000
    assert torch.equal(pickle.loads(pickled).values, torch.ones(50, 10, 10))


def test_a_relative_path_is_found_from_another_folder(path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(path.parent)
    pickled = pickle.dumps(open_features(path.name))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(pickle.loads(pickled)) == 3


def test_writing_to_what_was_opened_leaves_the_file_alone(path):
    open_features(path).values.fill_(0)
    assert torch.equal(open_features(path).values, abc().values)


def test_a_failed_write_leaves_the_old_file_and_no_other(path, monkeypatch):
    def no_room(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr("recbole_mmdistill.files.os.fsync", no_room)
    with pytest.raises(UserError, match=r"toy\.text\.safetensors cannot be written: No space left"):
        write_features(path, torch.zeros(1, 1), ["z"], TEXT)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert open_features(path).item_tokens.tolist() == ["a", "b", "c"]


def test_others_may_read_the_file_as_the_umask_says(path):
    ordinary = path.with_name("ordinary")
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_what_was_written_is_verified(path):
    verify_features(path)


def test_zeros_in_place_of_values_are_found(path):
    content = bytearray(path.read_bytes())
    at = content.find(np.float32(22).tobytes())
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    open_features(path)
    with pytest.raises(UserError, match=r"toy\.text\.safetensors has changed since"):
        verify_features(path)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"no feature file .*toy\.image\.safetensors\. Make it .*"):
        open_features(tmp_path / "toy.image.safetensors")
    with pytest.raises(UserError, match=r"--dataset=toy --modality=image"):
        open_features(tmp_path / "toy.image.safetensors")
    with pytest.raises(UserError, match=r"--dataset=toy --modality=text"):
        open_features(tmp_path / "toy.text.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, 500, -1])
def test_a_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"toy\.text.* \({path.stat().st_size} bytes\) is truncat"):
        open_features(path)


def test_a_file_of_another_kind_is_refused(path):
    path.write_text("item_id:token\ttitle:token_seq\n" * 100)
    with pytest.raises(UserError, match="no safetensors file"):
        open_features(path)


def entry(dtype="F32", shape=(3, 2), place=(0, 24)):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}}


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        "[]",
        "{",
        {"a": 3},
        {"__metadata__": {"x": 3}, **entry()},
        entry(dtype="X9"),
        entry(shape=(3, -2)),
        entry(shape=(2**61, 2**61)),
        entry(place=(0, 23)),
        entry(place=(4, 28)),
        {**entry(), "b": entry()["a"]},
    ],
)
def test_damaged_headers_are_a_sentence(path, header):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    with pytest.raises(UserError, match=r"\(\d+ bytes\) is truncated, or no safetensors file"):
        open_features(path)


def test_a_pickle_is_refused_and_not_loaded(path):
    torch.save({"values": torch.zeros(3, 1, 2)}, path)
    with pytest.raises(UserError, match="no safetensors file"):
        open_features(path)


def test_safetensors_of_another_kind_are_refused(path):
    save_file({"embedding.weight": np.zeros((3, 2), dtype=np.float32)}, path)
    with pytest.raises(UserError, match=r"no feature file: it lacks content_hash, .*values"):
        open_features(path)


def test_a_later_format_is_refused(path):
    rewrite(path, metadata={"format_version": "2"})
    with pytest.raises(UserError, match="has format version 2, but only version 1"):
        open_features(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_token_offsets": None}, "it lacks item_token_offsets"),
        ({"item_token_offsets": np.array([0, 1, 2, 9])}, "item tokens of .* damaged"),
        ({"item_token_offsets": np.array([0, 1, 3])}, "3 items, but 2 item tokens"),
        ({"values": np.zeros((3, 2, 2))}, "dtype float64"),
        ({"values": np.zeros(3, dtype=np.float32)}, r"shape \[3\]"),
        ({"token_mask": np.ones((3, 5), dtype=bool)}, "2 tokens for each of 3 items"),
        ({"item_tokens": np.frombuffer(b"aba", np.uint8)}, "repeat an item.*'a', in rows 0 and 2"),
        ({"item_token_offsets": np.array([[0, 3]])}, "item tokens of .* 1 and 2 axes"),
        ({"item_token_offsets": np.array([0, 2**63 - 1, -5, 3])}, "item tokens of .* ascend"),
        ({"item_tokens": np.frombuffer(b"a\0c", np.uint8)}, r"'\\x00' of .* \(row 1\) holds a NUL"),
        ({"values": np.array(3, np.float32)}, r"values of .* have shape \[\]"),
        ({"metadata": {"source_fields": "[" * 10_000}}, r"source_fields of .* '\[{100}', no JSON"),
        ({"metadata": {"source_fields": '"title"'}}, "source_fields of .* no JSON list of str"),
        ({"metadata": {"source_fields": "title"}}, "source_fields of .* 'title', no JSON"),
        ({"metadata": {"encoder": None}}, "it lacks encoder"),
    ],
)
def test_an_inconsistent_file_is_refused(path, changes, message):
    rewrite(path, **changes)
    with pytest.raises(UserError, match=message) as error:
        open_features(path)
    assert str(path) in str(error.value)


def test_what_each_item_was_encoded_from_is_one_hash_each(path):
    rewrite(path, input_hashes=np.zeros((3, 16), np.uint8))
    assert read_input_hashes(open_features(path)).shape == (3, 16)
    rewrite(path, input_hashes=np.zeros((2, 16), np.uint8))
    with pytest.raises(UserError, match=r"input_hashes of .* must be uint8 of shape \[3, 16\]"):
        read_input_hashes(open_features(path))


def test_an_item_token_that_is_no_unicode_is_refused(tmp_path):
    with pytest.raises(UserError, match="not valid Unicode"):
        write_features(tmp_path / "x", torch.zeros(1, 1), ["\ud800"], TEXT)


PROBE = """
import sys, torch
from recbole_mmdistill.features import open_features
def resident(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024
open_features(sys.argv[2])
before = resident("VmRSS")
source = open_features(sys.argv[1])
print(resident("VmRSS") - before, source.values.nbytes, float(source.values[-1, 0, 0]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_opening_a_big_file_reads_next_to_nothing(tmp_path, path):
    big = tmp_path / "big.text.safetensors"
    write_features(big, torch.ones(2000, 64, 512).half(), [str(i) for i in range(2000)], TEXT)
    command = [sys.executable, "-c", PROBE, str(big), str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    grown, size, last = map(float, output.split()[-3:])
    assert size == 131_072_000
    assert grown < 4_000_000
    assert last == 1


def test_values_keep_their_dtype_when_aligned(path):
    write_features(path, abc(torch.float16).values, ["a", "b", "c"], TEXT)
    assert align_features(open_features(path), ["[PAD]", "b"]).values.dtype == torch.float16
