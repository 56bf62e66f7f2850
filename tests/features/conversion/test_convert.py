"""What is recorded, which options go together, and what is never overwritten."""

import os

import numpy as np
import pytest
import torch

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import open_features
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.formats import Options
from tests.features.builders import TEXT, abc
from tests.features.conversion.builders import VALUES, refused, write


def test_a_feature_file_keeps_how_it_was_made_and_its_mask(tmp_path):
    mask = [[1, 1], [1, 0], [0, 0]]
    values = abc().values
    ours = write(tmp_path / "x.text.safetensors", values, ["a", "b", "c"], torch.tensor(mask))
    convert(ours, tmp_path / "y.safetensors", Options(dtype="float16", encoder="mine"))
    source = open_features(tmp_path / "y.safetensors")
    assert source.token_mask.int().tolist() == mask
    assert source.values.dtype == torch.float16
    assert (source.info.encoder, source.info.pooling) == ("mine", TEXT.pooling)


@pytest.mark.parametrize(
    ("source", "destination", "modality", "recorded"),
    [
        ("toy.image.npy", "x.safetensors", None, "image"),
        ("image_feat.npy", "toy.image.safetensors", None, "image"),
        ("amazon-2.0.npy", "amazon-2.0.image.safetensors", None, "image"),
        ("toy.image.npy", "toy.image.safetensors", "poster", "poster"),
    ],
)
def test_the_modality_is_that_of_a_name_or_as_said(
    tmp_path, source, destination, modality, recorded
):
    np.save(tmp_path / source, VALUES)
    options = Options(ids="rows", modality=modality)
    convert(tmp_path / source, tmp_path / destination, options)
    assert open_features(tmp_path / destination).info.modality == recorded


def test_numbers_that_the_dtype_cannot_hold_are_refused(tmp_path):
    ours = write(tmp_path / "ours.text.safetensors", VALUES * 2)
    message = r"""Item '"' of .* holds 120000.0, more than float16 can"""
    refused(message, ours, tmp_path / "x.text.safetensors", dtype="float16")


def test_nothing_but_zeros_is_refused(tmp_path):
    np.save(tmp_path / "toy.npy", VALUES * 0)
    arguments = (tmp_path / "toy.npy", tmp_path / "toy.text.safetensors")
    refused("holds nothing but zeros", *arguments, ids="rows", zeros_are_missing=True)


@pytest.mark.parametrize(
    ("destination", "options", "message"),
    [
        ("x.npz", {}, "The name of .*x.npz does not say its format. Say with --from or --to"),
        ("x.npy", {"dim": 2}, "--dim=2 has no meaning from safetensors to npy"),
        ("x.npy", {"ids": "file"}, "--ids=file has no meaning from safetensors to npy"),
        ("x.npy", {"encoder": "bert"}, "--encoder=bert has no meaning"),
        ("x.raw", {"dtype": "float16"}, "dtype of raw cannot be 'float16'. Give float32"),
        ("x.npy", {"dtype": "int8"}, "cannot be 'int8'. Give float16 or float32"),
        ("x.itememb", {"field": "a b"}, "'a b' cannot head a column"),
        ("x.itememb", {"modality": "a:b"}, "'a:b_itemid' cannot head a column"),
    ],
)
def test_options_without_a_meaning_are_refused(ours, tmp_path, destination, options, message):
    refused(message, ours, tmp_path / destination, **options)


def test_an_unknown_format_is_refused(ours):
    with pytest.raises(UserError, match=r"no format 'csv'\. There are safetensors, npy"):
        convert(ours, "x", destination_format="csv")


def test_a_feature_file_needs_a_modality(tmp_path):
    np.save(tmp_path / "toy.npy", VALUES)
    refused("Neither .* modality", tmp_path / "toy.npy", tmp_path / "x.safetensors", ids="rows")


def test_nothing_that_is_read_is_overwritten(ours, tmp_path):
    refused("is to be read and written", ours, ours)
    os.link(ours, tmp_path / "link.text.safetensors")
    refused("is to be read and written", ours, tmp_path / "link.text.safetensors")
    convert(ours, tmp_path / "x.npy")
    arguments = (tmp_path / "x.npy", tmp_path / "y.npy")
    (tmp_path / "x.ids").rename(tmp_path / "y.ids")
    refused(r"y\.ids is to be read and written", *arguments, ids=str(tmp_path / "y.ids"))


def test_a_folder_is_no_destination(ours, tmp_path):
    (tmp_path / "x.npy").mkdir()
    refused("x.npy is a folder", ours, tmp_path / "x.npy")
