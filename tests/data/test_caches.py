"""RecBole's caches of datasets and dataloaders hold what was asked for, never what was before."""

from pathlib import Path

import torch
from recbole.data import create_dataset, data_preparation
from recbole.data.utils import load_split_dataloaders

from tests.data.builders import ITEMS, config, write_inter, write_vectors


def cached(**settings):
    return create_dataset(config(save_dataset=True, checkpoint_dir="saved", **settings))


def test_a_cached_dataset_is_the_same():
    write_vectors(write_inter() / "tiny.text.safetensors")
    first, second = cached(modalities=["text"]), cached(modalities=["text"])
    assert first is not second and list(Path("saved").iterdir())
    mine, theirs = first.build(), second.build()
    for a, b in zip(mine, theirs):
        for field in a.inter_feat:
            assert torch.equal(a.inter_feat[field], b.inter_feat[field])
    mine, theirs = first.item_features["text"], second.item_features["text"]
    assert torch.equal(mine.row_of_item, theirs.row_of_item)
    assert torch.equal(mine.values, theirs.values)


def test_other_options_are_not_served_from_the_cache():
    folder = write_inter()
    write_vectors(folder / "tiny.text.safetensors")
    write_vectors(folder / "other.safetensors", ITEMS[:2])
    assert cached(modalities=[]).item_features == {}
    assert cached(modalities=["text"]).item_features["text"].present.sum() == 6
    elsewhere = cached(
        modalities=["text"], feature_path={"text": str(folder / "other.safetensors")}
    )
    assert elsewhere.item_features["text"].present.sum() == 2
    windows, prefixes = cached(), cached(train_sequences="prefixes")
    assert len(windows.build()[0]) < len(prefixes.build()[0])


def test_a_changed_feature_file_is_read_anew():
    folder = write_inter()
    write_vectors(folder / "tiny.text.safetensors", ITEMS[:3])
    assert cached(modalities=["text"]).item_features["text"].present.sum() == 3
    write_vectors(folder / "tiny.text.safetensors", ITEMS)
    assert cached(modalities=["text"]).item_features["text"].present.sum() == 6


def test_cached_dataloaders_draw_the_same_batches():
    write_inter()
    settings = config(save_dataloaders=True, checkpoint_dir="saved", shuffle=False)
    loaders = data_preparation(settings, create_dataset(settings))
    (file,) = Path("saved").glob("*dataloader*")
    again = load_split_dataloaders(settings)
    assert file.stat().st_size > 0
    for mine, theirs in zip(loaders, again):
        for a, b in zip(mine, theirs):
            a, b = (batch[0] if isinstance(batch, tuple) else batch for batch in (a, b))
            assert all(torch.equal(a[field], b[field]) for field in a)
