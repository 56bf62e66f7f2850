"""Features find their items by token, wherever the files lie and whatever RecBole filtered."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import FeatureInfo, write_features
from tests.data.builders import ITEMS, number_of, ours, write_inter, write_vectors


@pytest.fixture(autouse=True)
def tiny():
    return write_inter()


def vectors_by_token(dataset, modality="text"):
    """First number of every item's vector, None for an item without."""
    features = dataset.item_features[modality]
    tokens = dataset.field2id_token["item_id"]
    return {
        token: features.values[row, 0, 0].item() if row >= 0 else None
        for token, row in zip(tokens[1:], features.row_of_item.tolist()[1:])
    }


@given(order=st.permutations(ITEMS), missing=st.sampled_from([None, *ITEMS]))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("k_core", ["[0,inf)", "[3,inf)"])
def test_each_item_gets_its_own_vector(k_core, order, missing):
    write_vectors(Path("dataset/tiny/tiny.text.safetensors"), [t for t in order if t != missing])
    intervals = {"user_inter_num_interval": k_core, "item_inter_num_interval": k_core}
    dataset = ours(modalities=["text"], **intervals)
    found = vectors_by_token(dataset)
    assert found == {t: None if t == missing else number_of(t) for t in found}
    assert len(found) in (3, 6)  # the 3-core leaves b, e and 007
    assert not dataset.item_features["text"].present[0]  # the padding item


def test_no_modalities_no_features():
    for nothing in ([], None):
        assert ours(modalities=nothing).item_features == {}


@pytest.mark.parametrize(("weights", "warnings"), [("untrained", 1), ("0f" * 32, 0)])
def test_features_of_an_untrained_encoder_are_warned_of(tiny, caplog, weights, warnings):
    info = FeatureInfo("text", encoder="some bert", weights_hash=weights)
    write_features(tiny / "tiny.text.safetensors", torch.ones(6, 1, 3), ITEMS, info)
    ours(modalities=["text"])
    said = [record.message for record in caplog.records if "untrained encoder" in record.message]
    assert len(said) == warnings
    assert all("some bert" in line for line in said)


def test_modalities_are_switched_on_one_by_one(tiny):
    write_vectors(tiny / "tiny.text.safetensors")
    write_vectors(tiny / "tiny.image.safetensors", ITEMS[:3], "image")
    assert list(ours(modalities=["image"]).item_features) == ["image"]
    both = ours(modalities=["image", "text"]).item_features
    assert list(both) == ["image", "text"]
    assert both["text"].present.sum() == 6 and both["image"].present.sum() == 3


def test_feature_path_may_be_a_folder_or_name_files(tiny):
    write_vectors(tiny / "tiny.text.safetensors", ITEMS[:2])
    Path("elsewhere").mkdir()
    write_vectors(Path("elsewhere/tiny.text.safetensors"))
    write_vectors(Path("elsewhere/titles.safetensors"), ITEMS[:4])
    for feature_path, n_items in {
        None: 2,
        "elsewhere": 6,
        ("text", "elsewhere/titles.safetensors"): 4,
        ("image", "elsewhere/titles.safetensors"): 2,  # text is not named: beside the dataset
    }.items():
        if isinstance(feature_path, tuple):
            feature_path = dict([feature_path])
        dataset = ours(modalities=["text"], feature_path=feature_path)
        assert dataset.item_features["text"].present.sum() == n_items


@pytest.mark.parametrize(
    ("feature_path", "message"),
    [
        ("no/such/folder", "is the folder no/such/folder, which does not exist"),
        ("elsewhere/titles.safetensors", "titles.safetensors, which is a file. .*{text: FILE"),
        ("elsewhere", r"elsewhere, where there is neither tiny\.text\.safetensors nor .*\.npy"),
        (5, "feature_path is 5"),
        ("", "feature_path is ''"),
        (["elsewhere"], r"feature_path is \['elsewhere'\]"),
        (True, "feature_path is True"),
        ({"txet": "elsewhere/titles.safetensors"}, r"names 'txet', .* \['text'\].*near it: text"),
        ({"text": "elsewhere/title.safetensors"}, "title.safetensors, which does .*: titles.safe"),
        ({"text": "elsewhere"}, "feature_path of text is the file elsewhere, which is a folder"),
        ({"text": 5}, "'text' of feature_path is 5"),
        ({"text": ["a"]}, r"'text' of feature_path is \['a'\]"),
    ],
)
def test_a_feature_path_that_leads_nowhere_is_refused(tiny, feature_path, message):
    write_vectors(tiny / "tiny.text.safetensors")  # which is not what was asked for
    Path("elsewhere").mkdir()
    write_vectors(Path("elsewhere/titles.safetensors"))
    with pytest.raises(UserError, match=message):
        ours(modalities=["text"], feature_path=feature_path)


def test_numpy_arrays_with_ids(tiny):
    np.save(tiny / "tiny.text.npy", np.array([[number_of(t)] * 2 for t in ITEMS], np.float32))
    (tiny / "tiny.text.ids").write_text("\n".join(ITEMS) + "\n")
    found = vectors_by_token(ours(modalities=["text"]))
    assert found == {token: number_of(token) for token in found}


def test_recboles_own_preloaded_weights(tiny):
    lines = [f"{t}\t{number_of(t)} 1 2" for t in ITEMS if t != "d"]
    (tiny / "tiny.vectors").write_text("iid:token\tvector:float_seq\n" + "\n".join(lines) + "\n")
    dataset = ours(
        modalities=["text"],
        feature_path={"text": "preload:iid"},
        additional_feat_suffix=["vectors"],
        alias_of_item_id=["iid"],
        preload_weight={"iid": "vector"},
        load_col={"inter": ["user_id", "item_id", "timestamp"], "vectors": ["iid", "vector"]},
    )
    found = vectors_by_token(dataset)
    assert found == {t: None if t == "d" else number_of(t) for t in found}


def test_coverage_is_told_in_a_line(tiny, caplog):
    write_vectors(tiny / "tiny.text.safetensors", ["a", "b", "c", "nobody", "nothing"])
    with caplog.at_level(logging.INFO):
        ours(modalities=["text"])
    file = (tiny / "tiny.text.safetensors").absolute()
    assert [line for line in caplog.messages if line.startswith("text:")] == [
        f"text: 50.0% of the items and 50.0% of the interactions have features in {file} (1 x 3, "
        "numbers); 2 items of the file are not in the dataset: nobody, nothing"
    ]


def test_ml_100k_has_the_texts_that_are_shipped():
    features = ours(dataset="ml-100k", modalities=["text"]).item_features["text"]
    assert features.present[1:].all() and features.values.dtype == torch.float16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": ["text"]}, r"no feature file .*dataset/tiny/tiny\.text.* Make it with"),
        ({"modalities": ["text", "text"]}, r"modalities is \['text', 'text'\]"),
        ({"modalities": ["id"]}, r"modalities is \['id'\].*are taken"),
        ({"modalities": [3]}, r"modalities is \[3\]"),
        (
            {"modalities": ["text"], "feature_path": {"text": "preload:iid"}},
            r"preload:iid, but no weight was preloaded",
        ),
    ],
)
def test_what_is_asked_for_and_not_there(settings, message):
    with pytest.raises(UserError, match=message):
        ours(**settings)


def test_features_of_another_dataset(tiny):
    write_vectors(tiny / "tiny.text.safetensors", ["x", "y"])
    with pytest.raises(UserError, match=r"None of the 6 items .* 'x', 'y'"):
        ours(modalities=["text"])


def test_a_number_that_is_none_names_its_item(tiny):
    values = np.ones((6, 2), np.float32)
    values[2, 1] = np.nan
    np.save(tiny / "tiny.text.npy", values)
    (tiny / "tiny.text.ids").write_text("\n".join(ITEMS))
    with pytest.raises(UserError, match=r"tiny\.text\.npy.*'c' \(row 2\), with nan"):
        ours(modalities=["text"])


def test_a_foreign_or_truncated_file(tiny):
    path = tiny / "tiny.text.safetensors"
    write_vectors(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"tiny\.text\.safetensors \(\d+ bytes\) is truncated"):
        ours(modalities=["text"])
    path.write_bytes(b"GIF89a")
    with pytest.raises(UserError, match="no safetensors file"):
        ours(modalities=["text"])
